"""The draws that the figures show: posterior and prior as one column per scalar latent."""

from collections.abc import Mapping

import jax
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PRNGKeyArray

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.report.latent import Latent
from posterity.results.by_row import padded
from posterity.results.data import PosteriorData
from posterity.runtime.compile import filter_jit
from posterity.runtime.keys import key_for

__all__ = ["latents_of"]

NUM_PRIOR = 10_000
PRIOR_ROWS = 8
"""Rows that the model is given while its prior is drawn: latents do not depend on them."""


def latents_of(posterior: PosteriorData, seed: int = 0) -> list[Latent]:
    """All scalar latents of an answer, in its order; without draws of a prior that is improper.

    Args:
        posterior: The posterior.
        seed: Decides the draws of the prior.
    """
    improper = bool(posterior.model.improper_sites)  # others may follow those that cannot be drawn
    prior = {} if improper else _prior_draws(posterior, key_for(seed, "prior draws"))
    found = []
    for site, draws in posterior.draws.items():
        ours = np.asarray(draws).reshape(len(draws), -1)
        before = np.zeros((0, ours.shape[1])) if improper else prior[site].reshape(NUM_PRIOR, -1)
        for column, label in enumerate(posterior.labels[site]):
            values, drawn = ours[:, column], before[:, column]
            finite = values[np.isfinite(values)]
            found.append(Latent(label, site, finite, drawn[np.isfinite(drawn)], len(finite) == len(values)))
    return found


def _prior_draws(posterior: PosteriorData, rng_key: PRNGKeyArray) -> dict[str, np.ndarray]:
    """Latent site -> draws of the prior, active entries only, shape `(draw, *site_shape)`."""
    model = posterior.model
    arrays = dict(posterior.data)
    dataset = padded(model, arrays if model.whole else {name: array[:PRIOR_ROWS] for name, array in arrays.items()})
    drawn = jax.device_get(_sample(model, dataset, random.split(rng_key, NUM_PRIOR)))
    return {site: drawn[site][_active(np.shape(values))] for site, values in posterior.draws.items()}


@filter_jit
def _sample(model: Model, dataset: Dataset, keys: Array) -> Mapping[str, Array]:
    given = model.arguments if model.whole else model.covariates  # priors may follow data where there are no rows
    covariates = {a.name: dataset.values[a.name] for a in given}
    num_rows = dataset.row_mask.shape[0]
    z = vmap(lambda key: model.sample_prior(key, covariates, num_rows, dataset.plate_masks))(keys)
    return vmap(model.space.constrain)(z)


def _active(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(size) for size in shape[1:]))
