"""Posteriors for reports, made without any network: draws around the latents that made the data."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from posterity import Model, Posterior, read_model
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

NUM_ROWS, NUM_DRAWS = 60, 400
SLOPES = np.array([1.0, -0.5])


def real(x, y=None):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(x @ w, sigma), obs=y)


def binary(x, y=None):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)


def count(x, y=None):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.GeometricLogits(x @ w), obs=y)


def classes(x, y=None):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.CategoricalLogits((x @ w)[:, None] * jnp.array([0.0, 1.0, -1.0])), obs=y)


def matrix(y):
    with numpyro.plate("columns", y.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("obs", dist.Normal(w, 1.0).to_event(1), obs=y)


def example(model) -> dict[str, np.ndarray]:
    """Data that the model makes at `SLOPES`, with noise of sd 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, 2)).astype(np.float32)
    eta = x @ SLOPES
    chance = 1.0 / (1.0 + np.exp(-eta))
    y = {
        real: lambda: eta + rng.normal(size=NUM_ROWS),
        binary: lambda: (rng.random(NUM_ROWS) < chance).astype(np.int32),
        count: lambda: rng.geometric(1.0 - 1.0 / (1.0 + np.exp(eta))).astype(np.int32) - 1,
        classes: lambda: np.argmax(np.outer(eta, [0, 1, -1]) + rng.gumbel(size=(NUM_ROWS, 3)), axis=1).astype(np.int32),
        matrix: lambda: SLOPES + rng.normal(size=(NUM_ROWS, 2)),
    }[model]()
    y = y.astype(np.float32) if y.dtype.kind == "f" else y
    return {"y": y} if model is matrix else {"x": x, "y": y}


def model_of(function) -> Model:
    return read_model(function, example(function))


def make_posterior(
    model: Model, *, log_ratios=None, names=("age", "bmi"), data=None, draws=None, **changes
) -> Posterior:
    """A posterior whose draws of `w` have correlation -0.9; `log_ratios` decide the verdict."""
    rng = np.random.default_rng(1)
    arrays = example(model.function) if data is None else data
    covariance = 0.01 * np.array([[1.0, -0.9], [-0.9, 1.0]])
    latents = {"w": rng.multivariate_normal(SLOPES, covariance, NUM_DRAWS).astype(np.float32)}
    for site in model.space.sites:
        if site.name in ("b", "sigma"):
            latents[site.name] = rng.normal(1.0, 0.1, NUM_DRAWS).astype(np.float32)
    latents |= draws or {}
    log_q = rng.normal(size=NUM_DRAWS)
    ratios = np.zeros(NUM_DRAWS) if log_ratios is None else log_ratios
    weights = pareto_smoothed(ratios)
    verdict, reasons = judge(weights, changes.pop("outside", ()))
    fields = {
        "model": model,
        "num_rows": len(arrays["y"]),
        "num_draws": NUM_DRAWS,
        "verdict": verdict,
        "reasons": reasons,
        "data": arrays,
        "proposed": latents,
        "log_q": log_q,
        "log_joint": log_q + ratios,
        "is_of_q": np.ones(NUM_DRAWS, bool),
        "weights": weights,
        "columns": {"x": names},
        "seconds": 0.25,
    }
    return Posterior(**(fields | changes))
