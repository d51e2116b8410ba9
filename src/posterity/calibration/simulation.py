"""Datasets of one size drawn from the model, each with the latents that made it and draws of q for it."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float, Key, PRNGKeyArray

from posterity.amortized.families import AbstractPosterior
from posterity.calibration.cells import Cell
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.space import broadcast_mask
from posterity.runtime.compile import filter_jit
from posterity.simulation.simulator import Simulator

__all__ = ["Points", "ToPosterior", "prior_points", "scalar_latents", "simulations"]

ToPosterior = InformedNetwork | Callable[[Dataset, Array], AbstractPosterior]

TOGETHER = 100  # datasets that are simulated at once


class Points(NamedTuple):
    """The truth, first, and S draws of q for the dataset that it made.

    Entries that the dataset does not have are left out. All are float64.

    Attributes:
        latents: Scalar latents in their supports, shape `(1 + S, scalar)`.
        z: The same unconstrained, shape `(1 + S, latent)`.
        log_joint: In nats, shape `(1 + S,)`.
        log_q: In nats, shape `(1 + S,)`.
    """

    latents: np.ndarray
    z: np.ndarray
    log_joint: np.ndarray
    log_q: np.ndarray


def simulations(
    posterior: ToPosterior, simulator: Simulator, cell: Cell, rng_key: PRNGKeyArray, num_datasets: int, num_draws: int
) -> Iterator[Points]:
    """Simulates datasets, one after the other.

    Args:
        posterior: Dataset and latent mask -> q; or an informed network, which is told by the dataset alone.
        simulator: The model.
        cell: Size of the datasets.
        rng_key: Consumed here.
        num_datasets: How many.
        num_draws: S, draws of q for each.
    """
    row_mask, masks = _masks(simulator, cell)
    active, active_z = _active(simulator, masks)
    model, mask = simulator.model, simulator.model.space.mask(masks)
    keys = random.split(rng_key, -(-num_datasets // TOGETHER) * TOGETHER)  # whole batches: one compilation
    for first in range(0, num_datasets, TOGETHER):
        batch = keys[first : first + TOGETHER]
        datasets, truths, keys_q = jax.device_get(_simulate(simulator, batch, row_mask, masks))
        for i in range(min(TOGETHER, num_datasets - first)):
            dataset = jax.tree.map(lambda leaf, i=i: leaf[i], datasets)
            q = posterior(dataset) if isinstance(posterior, InformedNetwork) else _posterior(posterior, dataset, mask)
            found = jax.device_get(_points(model, q, dataset, truths[i], keys_q[i], num_draws))
            latents, z, log_joint, log_q = (np.asarray(part, np.float64) for part in found)
            yield Points(latents[:, active], z[:, active_z], log_joint, log_q)


def prior_points(
    simulator: Simulator, cell: Cell, rng_key: PRNGKeyArray, num_draws: int
) -> tuple[Float[np.ndarray, "draw scalar"], Float[np.ndarray, "draw latent"]]:
    """Draws of the prior, independent of all datasets: scalar latents in their supports, and unconstrained.

    Args:
        simulator: The model.
        cell: Size of the datasets that they could have made.
        rng_key: Consumed here.
        num_draws: How many.
    """
    row_mask, masks = _masks(simulator, cell)
    active, active_z = _active(simulator, masks)
    latents, z = jax.device_get(_draw_prior(simulator, random.split(rng_key, num_draws), row_mask, masks))
    return latents[:, active].astype(np.float64), z[:, active_z].astype(np.float64)


def scalar_latents(simulator: Simulator, cell: Cell) -> list[str]:
    """Labels of the scalar latents that datasets of this size have."""
    active, _ = _active(simulator, simulator.model.plate_masks(cell.plates))
    labels = [label for site in simulator.model.space.sites for label in simulator.model.space.labels({})[site.name]]
    return [label for label, is_active in zip(labels, active, strict=True) if is_active]


def _active(simulator: Simulator, masks: Mapping[str, Array]) -> tuple[np.ndarray, np.ndarray]:
    """Which scalar latents, and which coordinates of z, a dataset with these plate entries has."""
    sites = simulator.model.space.sites
    active = np.concatenate([np.ravel(broadcast_mask(site.plates, masks, site.shape)) for site in sites])
    return active, np.asarray(simulator.model.space.mask(masks))


def _masks(simulator: Simulator, cell: Cell) -> tuple[Array, dict[str, Array]]:
    """One shape, hence one compilation, for all cells."""
    return jnp.arange(simulator.envelope.rows[1]) < cell.rows, simulator.model.plate_masks(cell.plates)


@filter_jit
def _simulate(
    simulator: Simulator, keys: Key[Array, " dataset"], row_mask: Array, plate_masks: Mapping[str, Array]
) -> tuple[Dataset, Float[Array, "dataset latent"], Array]:
    """Datasets, the latents that made them, and keys for draws of q as plain numbers."""

    def one(rng_key: PRNGKeyArray) -> tuple[Dataset, Array, Array]:
        key_data, key_q = random.split(rng_key)
        return *simulator.simulate(key_data, row_mask, plate_masks), random.key_data(key_q)

    return lax.map(one, keys)


@filter_jit
def _posterior(
    posterior: Callable[[Dataset, Array], AbstractPosterior], dataset: Dataset, mask: Array
) -> AbstractPosterior:
    return posterior(dataset, mask)


@filter_jit
def _points(
    model: Model, q: AbstractPosterior, dataset: Dataset, truth: Array, key_words: Array, num_draws: int
) -> tuple[Array, Array, Array, Array]:
    """The fields of `Points`."""
    draws, log_q = q.sample_and_log_prob(random.wrap_key_data(key_words), num_draws)
    z = jnp.concatenate([jnp.asarray(truth)[None], draws])  # together, so that equal values are rounded equally
    log_joint = vmap(model.log_joint, in_axes=(0, None))(z, dataset)
    return vmap(partial(_scalars, model))(z), z, log_joint, jnp.append(q.log_prob(jnp.asarray(truth)), log_q)


@filter_jit
def _draw_prior(
    simulator: Simulator, keys: Key[Array, " draw"], row_mask: Array, plate_masks: Mapping[str, Array]
) -> tuple[Array, Array]:
    def one(rng_key: PRNGKeyArray) -> tuple[Array, Array]:
        key_covariates, key_prior = random.split(rng_key)
        covariates = simulator.draw_covariates(key_covariates, row_mask, plate_masks)
        z = simulator.model.sample_prior(key_prior, covariates, row_mask.shape[0], plate_masks)
        return _scalars(simulator.model, z), z

    return vmap(one)(keys)


def _scalars(model: Model, z: Float[Array, " latent"]) -> Float[Array, " scalar"]:
    """All latents in their supports, end to end, in the order of their labels."""
    return jnp.concatenate([jnp.ravel(value) for value in model.space.constrain(z).values()])
