"""What the prior says of a posterior's latents: draws of it, and its log density at draws of the posterior."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PRNGKeyArray

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.results.by_row import at_capacity, padded
from posterity.results.data import PosteriorData
from posterity.runtime.compile import filter_jit

__all__ = ["prior_draws", "prior_log_density"]

PRIOR_ROWS = 8
"""Rows that the model is given where only its prior counts: latents do not depend on them."""


def prior_draws(posterior: PosteriorData, num_draws: int, rng_key: PRNGKeyArray) -> dict[str, np.ndarray]:
    """Draws of the prior of the latents that a dataset has.

    Args:
        posterior: Of the dataset.
        num_draws: How many.
        rng_key: Consumed here.

    Returns:
        Latent site -> draws in its support, shape `(draw, *site_shape)`, active entries only. Those of an improper
        prior mean nothing.
    """
    drawn = jax.device_get(_sample(posterior.model, _few_rows(posterior), random.split(rng_key, num_draws)))
    return {site: drawn[site][_active(np.shape(values))] for site, values in posterior.proposed.items()}


def prior_log_density(posterior: PosteriorData, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Log prior density of each latent site at draws, in its support (no log-det), in nats.

    Args:
        posterior: Of the dataset.
        draws: Latent site -> draws in its support, shape `(draw, *site_shape)`, active entries only.

    Returns:
        Latent site -> shape `(draw,)`: the sum over its entries; 0 where its prior is improper.
    """
    latents = {name: jnp.asarray(values) for name, values in at_capacity(posterior.model, draws).items()}
    return jax.device_get(_log_density(posterior.model, _few_rows(posterior), latents))


def _few_rows(posterior: PosteriorData) -> Dataset:
    model, arrays = posterior.model, dict(posterior.data)
    return padded(model, arrays if model.whole else {name: array[:PRIOR_ROWS] for name, array in arrays.items()})


@filter_jit
def _sample(model: Model, dataset: Dataset, keys: Array) -> Mapping[str, Array]:
    given = model.arguments if model.whole else model.covariates  # priors may follow data where there are no rows
    covariates = {a.name: dataset.values[a.name] for a in given}
    num_rows = dataset.row_mask.shape[0]
    z = vmap(lambda key: model.sample_prior(key, covariates, num_rows, dataset.plate_masks))(keys)
    return vmap(model.space.constrain)(z)


@filter_jit
def _log_density(model: Model, dataset: Dataset, latents: Mapping[str, Array]) -> dict[str, Array]:
    def one(at: Mapping[str, Array]) -> dict[str, Array]:
        sites = model.site_log_probs_at(at, dataset)
        return {site.name: jnp.sum(sites[site.name]) for site in model.space.sites}

    return vmap(one)(latents)


def _active(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(size) for size in shape[1:]))
