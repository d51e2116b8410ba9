"""Regressions of many kinds, most in their authors' own words, and datasets that they draw themselves."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax, nn, random
from jax.scipy.special import ndtr
from jax.tree_util import Partial
from jaxtyping import Array

from posterity.informed_posterior.read.structure import Probe
from posterity.informed_posterior.read.terms import Terms
from posterity.model.builtin import MODELS
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.read import read_model
from posterity.model.space import masked_values

NUM_COLUMNS, NUM_GROUPS = 3, 4
BUILTIN = ("logistic_regression", "poisson_regression", "linear_regression", "linear_regression_known_noise")


def _predictor(x, prior, centre=0.0):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", prior)
    return x @ w + (centre + numpyro.sample("b", dist.Normal(0.0, 1.0)))


def probit(x, y=None):
    numpyro.sample("y", dist.Bernoulli(probs=ndtr(_predictor(x, dist.Normal(0.0, 1.0)))), obs=y)


def cloglog(x, y=None):
    chance = 1.0 - jnp.exp(
        -jnp.exp(_predictor(x, dist.Normal(0.0, 0.7), centre=-0.5))
    )  # so predictors are not 0 at z = 0
    numpyro.sample("y", dist.Bernoulli(probs=chance), obs=y)


def gamma_shape(x, y=None):
    shape = numpyro.sample("shape", dist.Gamma(4.0, 2.0))
    mean = jnp.exp(_predictor(x, dist.Normal(0.0, 0.5)))
    numpyro.sample("y", dist.Gamma(shape, shape / mean), obs=y)


def negative_binomial(x, y=None):
    dispersion = numpyro.sample("dispersion", dist.Gamma(2.0, 1.0))
    mean = jnp.exp(_predictor(x, dist.Laplace(0.0, 0.5)))
    numpyro.sample("y", dist.NegativeBinomial2(mean, dispersion), obs=y)


def student(x, y=None):
    predictor = _predictor(x, dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.StudentT(4.0, predictor, sigma), obs=y)


def centred(group, y=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("groups", NUM_GROUPS):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
    numpyro.sample("y", dist.Normal(theta[group], 0.7), obs=y)


def non_centred(group, y=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("groups", NUM_GROUPS):
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
    theta = mu + tau * raw
    numpyro.sample("y", dist.Bernoulli(logits=theta[group]), obs=y)


# Model -> its scale latents, whether the rest is Gaussian given them, and whether its predictors are the same at all.
USER: dict[Callable[..., Any], tuple[tuple[str, ...], bool, bool]] = {
    probit: ((), False, True),
    cloglog: ((), False, True),
    gamma_shape: (("shape",), False, True),
    negative_binomial: (("dispersion",), False, True),
    student: (("sigma",), False, True),
    centred: (("tau",), True, True),
    non_centred: (("tau",), False, False),
}
STRUCTURES = {
    "logistic_regression": ((), False, True),
    "poisson_regression": ((), False, True),
    "linear_regression": (("sigma",), True, True),
    "linear_regression_known_noise": ((), True, True),
    **{model.__name__: found for model, found in USER.items()},
}


@functools.cache
def model_of(name: str) -> Model:
    """One of `STRUCTURES`, of up to 3 features or of 4 groups."""
    if name in BUILTIN:
        return MODELS[name].read(NUM_COLUMNS)
    function = {m.__name__: m for m in USER}[name]
    rows = 7  # no other axis is as long
    target = np.zeros(rows, np.int32 if function in (probit, cloglog, negative_binomial, non_centred) else np.float32)
    if function in (centred, non_centred):
        return read_model(function, {"group": np.arange(rows) % NUM_GROUPS, "y": target})
    x = np.zeros((rows, NUM_COLUMNS), np.float32)
    return read_model(function, {"x": x, "y": target}, {"features": NUM_COLUMNS})


def draw(model: Model, rng_key: Array, num_rows: int, num_columns: int = NUM_COLUMNS) -> tuple[Dataset, Array]:
    """One dataset of the model itself, standard normal covariates or groups in turn, and the `z` behind it."""
    row_mask = jnp.ones(num_rows, bool)
    masks = model.plate_masks(dict.fromkeys(model.capacity, num_columns))
    key_covariates, key_prior, key_data = random.split(rng_key, 3)
    drawn = {
        a.name: random.normal(random.fold_in(key_covariates, i), (num_rows, *a.shape))
        if a.dtype == "float32"
        else jnp.arange(num_rows, dtype=jnp.int32) % NUM_GROUPS
        for i, a in enumerate(model.covariates)
    }
    covariates = masked_values(drawn, model.covariates, row_mask, masks)
    z = model.sample_prior(key_prior, covariates, num_rows, masks)
    return model.simulate_data(key_data, z, covariates, row_mask, masks), z


def probe(model: Model) -> Probe:
    """A few rows of the model itself, and the latents behind them, at which its structure can be looked at."""
    return draw(model, random.key(0), 7)


def soil(model: Model, dataset: Dataset, num_padded: int, garbage: float = 1e6) -> Dataset:
    """The dataset with rows of garbage appended, and garbage in its masked entries."""
    values = {}
    for argument in model.arguments:
        array = dataset.values[argument.name]
        for axis, plate in enumerate(argument.plates, start=1):
            if plate is not None:
                mask = jnp.reshape(dataset.plate_masks[plate], [-1 if a == axis else 1 for a in range(array.ndim)])
                array = jnp.where(mask, array, jnp.asarray(garbage, array.dtype))
        widths = [(0, num_padded)] + [(0, 0)] * (array.ndim - 1)
        values[argument.name] = jnp.pad(array, widths, constant_values=garbage)
    return Dataset(values, jnp.pad(dataset.row_mask, (0, num_padded)), dataset.plate_masks)


def _normal(y: Array, eta: Array) -> Array:
    return -0.5 * jnp.square(y - eta)


def _logistic(y: Array, eta: Array) -> Array:
    return y * eta - nn.softplus(eta)


def _poisson(y: Array, eta: Array) -> Array:
    return y * eta - jnp.exp(eta)


def _student(y: Array, eta: Array) -> Array:
    return -2.5 * jnp.log1p(jnp.square(y - eta) / 4.0)


KINDS = {"normal": _normal, "logistic": _logistic, "poisson": _poisson, "student": _student}


def _log_density(known: Mapping[str, Array], eta: Array) -> Array:
    return lax.switch(known["kind"], list(KINDS.values()), known["y"], eta)


def terms_of(kind: str, x: Array, y: Array, *, num_rows: int | None = None, num_latents: int | None = None) -> Terms:
    """A regression with N(0, 1) priors, written as terms by hand; all of one size have one compiled function.

    Args:
        kind: One of `KINDS`.
        x: Rows times latents.
        y: Targets.
        num_rows: Rows after padding, which repeats the first row.
        num_latents: Latents after padding.
    """
    rows, latents = num_rows or x.shape[0], num_latents or x.shape[1]
    active, mask = jnp.arange(rows) < x.shape[0], jnp.arange(latents) < x.shape[1]
    index = jnp.where(active, jnp.arange(rows), 0)
    x = jnp.pad(jnp.asarray(x, jnp.float32), ((0, 0), (0, latents - x.shape[1])))[index]
    known = {"kind": jnp.asarray(list(KINDS).index(kind)), "y": jnp.asarray(y, jnp.float32)[index]}
    return Terms(
        design=x,
        offset=jnp.zeros(rows),
        active=active,
        is_prior=jnp.zeros(rows, bool),
        log_density=Partial(_log_density, known),
        precision=jnp.eye(latents),
        linear=jnp.zeros(latents),
        constant=-0.5 * jnp.sum(mask) * jnp.log(2.0 * jnp.pi),
        mask=mask,
    )


def logistic_terms(rng_key: Array, num_rows: int, size: int) -> Terms:
    """Logistic regression on N(0, 1) covariates, targets from the model."""
    key_x, key_w, key_y = random.split(rng_key, 3)
    x = random.normal(key_x, (num_rows, size))
    return terms_of("logistic", x, random.bernoulli(key_y, nn.sigmoid(x @ random.normal(key_w, (size,)))))


def stack(items: Sequence[Any]) -> Any:
    """One pytree of many of the same shapes."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)


def ess_share(log_ratios: Array) -> Array:
    """Importance ESS as a share of the draws."""
    weights = jnp.exp(log_ratios - jnp.max(log_ratios))
    return jnp.square(jnp.sum(weights)) / jnp.sum(jnp.square(weights)) / log_ratios.size
