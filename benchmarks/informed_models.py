"""Models that the informed posterior is measured on: likelihoods that its network was trained on, and held-out ones."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import posterity

__all__ = ["MODELS", "Case", "make_simulator"]


def _predictor(x: Any, prior_sd: float) -> Any:
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
    return x @ w + b


def poisson(x, y=None, *, prior_sd=1.0):
    """Poisson with log link, the rate capped far out so that simulated counts fit 32 bits."""
    eta = _predictor(x, prior_sd)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(jnp.minimum(eta, 18.0))), obs=y)


def negative_binomial(x, y=None, *, prior_sd=1.0):
    """Negative binomial with log link and unknown dispersion."""
    eta = _predictor(x, prior_sd)
    dispersion = numpyro.sample("dispersion", dist.LogNormal(0.5, 0.7))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(jnp.minimum(eta, 15.0)), dispersion), obs=y)


def student_t(x, y=None, *, prior_sd=1.0):
    """Student-t noise with 4 degrees of freedom and unknown scale."""
    eta = _predictor(x, prior_sd)
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.StudentT(4.0, eta, sigma), obs=y)


def probit(x, y=None, *, prior_sd=1.0):
    """Binary target with normal link; held out."""
    eta = _predictor(x, prior_sd)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(probs=jax.scipy.special.ndtr(eta)), obs=y)


def complementary_log_log(x, y=None, *, prior_sd=1.0):
    """Binary target with an asymmetric link; held out."""
    eta = _predictor(x, prior_sd)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(probs=-jnp.expm1(-jnp.exp(jnp.minimum(eta, 4.0)))), obs=y)


def gamma(x, y=None, *, prior_sd=1.0):
    """Positive target, gamma with log link and unknown shape; held out."""
    eta = _predictor(x, prior_sd)
    shape = numpyro.sample("shape", dist.LogNormal(0.5, 0.7))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Gamma(shape, shape * jnp.exp(-eta)), obs=y)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and how its prior narrows with the number of features.

    Attributes:
        model: NumPyro model with option `prior_sd`.
        dtype: Of its target.
        narrow: Prior sd is 1 / sqrt(features + 1) instead of 1: counts from wider priors leave all bounds.
        held_out: The row network never saw this likelihood.
    """

    model: Callable[..., Any]
    dtype: str = "float32"
    narrow: bool = False
    held_out: bool = False


MODELS = {
    "logistic": Case(posterity.MODELS["logistic_regression"].model, "int32"),
    "linear": Case(posterity.MODELS["linear_regression"].model),
    "poisson": Case(poisson, "int32", narrow=True),
    "negative_binomial": Case(negative_binomial, "int32", narrow=True),
    "student_t": Case(student_t),
    "probit": Case(probit, "int32", held_out=True),
    "complementary_log_log": Case(complementary_log_log, "int32", narrow=True, held_out=True),
    "gamma": Case(gamma, narrow=True, held_out=True),
}


def make_simulator(name: str, num_rows: int, num_features: int, prior_sd: float | None = None) -> posterity.Simulator:
    """What simulates a case at one size, N(0, 1) covariates."""
    case = MODELS[name]
    sd = prior_sd or (float(num_features + 1) ** -0.5 if case.narrow else 1.0)

    def model(x, y=None):
        case.model(x, y, prior_sd=sd)

    target = jnp.ones(num_features + 3, case.dtype)  # 1 lies in every support
    example = {"x": jnp.zeros((num_features + 3, num_features)), "y": target}
    envelope = posterity.Envelope((num_rows, num_rows))
    return posterity.build_simulator(model, example, envelope, covariates="normal", check=False)
