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
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.space import broadcast_mask
from posterity.runtime.compile import filter_jit
from posterity.simulation.simulator import Simulator

__all__ = ["Points", "ToPosterior", "prior_points", "scalar_latents", "simulations"]

ToPosterior = Callable[[Dataset, Array], AbstractPosterior]

VALUES_HELD = 20_000_000  # latents of draws held at once, on the way from the device


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
        posterior: Dataset and latent mask -> q.
        simulator: The model.
        cell: Size of the datasets.
        rng_key: Consumed here.
        num_datasets: How many.
        num_draws: S, draws of q for each.
    """
    row_mask, masks = _masks(simulator, cell)
    active, active_z = _active(simulator, masks)
    together = int(np.clip(VALUES_HELD // (num_draws * simulator.model.space.size), 1, num_datasets))
    keys = random.split(rng_key, -(-num_datasets // together) * together)  # whole batches: one compilation
    for first in range(0, num_datasets, together):
        batch = keys[first : first + together]
        found = jax.device_get(_simulate_and_draw(posterior, simulator, batch, row_mask, masks, num_draws))
        for i in range(min(together, num_datasets - first)):
            latents, z, log_joint, log_q = (np.asarray(part[i], np.float64) for part in found)
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
def _simulate_and_draw(
    posterior: ToPosterior,
    simulator: Simulator,
    keys: Key[Array, " dataset"],
    row_mask: Array,
    plate_masks: Mapping[str, Array],
    num_draws: int,
) -> tuple[Array, Array, Array, Array]:
    """The fields of `Points`, datasets first."""

    def one(rng_key: PRNGKeyArray) -> tuple[Array, Array, Array, Array]:
        key_data, key_q = random.split(rng_key)
        dataset, truth = simulator.simulate(key_data, row_mask, plate_masks)
        q = posterior(dataset, simulator.model.space.mask(plate_masks))
        draws, log_q = q.sample_and_log_prob(key_q, num_draws)
        z = jnp.concatenate([truth[None], draws])  # together, so that equal values are rounded equally
        log_joint = vmap(simulator.model.log_joint, in_axes=(0, None))(z, dataset)
        return vmap(partial(_scalars, simulator.model))(z), z, log_joint, jnp.append(q.log_prob(truth), log_q)

    return lax.map(one, keys)  # not in batches: an informed posterior takes several times as long to compile batched


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
