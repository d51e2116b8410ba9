"""Rows taken one by one: what a row's log likelihood is by itself, and along how many lines it curves the log joint."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit

__all__ = ["MOST_DIRECTIONS", "count_directions", "lone_row_log_likelihood", "rows_are_apart"]

MOST_DIRECTIONS = 6


def lone_row_log_likelihood(
    model: Model, z: Float[Array, " latent"], dataset: Dataset, values: dict[str, Array], row_mask: Array
) -> Float[Array, ""]:
    """Log likelihood of one row by itself, in nats.

    Args:
        model: The model.
        z: Latents.
        dataset: Whose plates to keep.
        values: Of one row.
        row_mask: False if it is padding.
    """
    alone = Dataset({name: value[None] for name, value in values.items()}, jnp.ones(1, bool), dataset.plate_masks)
    return jnp.where(row_mask, model.log_likelihood(z, alone)[0], 0.0)


def rows_are_apart(model: Model, dataset: Dataset, z: Float[Array, " latent"]) -> bool:
    """Whether a row's log likelihood is the same by itself as among others.

    Args:
        model: The model.
        dataset: A few rows.
        z: Latents at which to look.
    """

    def compare(dataset: Dataset, z: Array) -> tuple[Array, Array]:
        alone = vmap(lambda *row: lone_row_log_likelihood(model, z, dataset, *row))(dataset.values, dataset.row_mask)
        return alone, model.log_likelihood(z, dataset)

    return bool(np.allclose(*jax.device_get(jit(compare)(dataset, z)), rtol=1e-3, atol=1e-3))


def count_directions(model: Model, dataset: Dataset, z: Float[Array, " latent"]) -> int:
    """Number of lines along which one row curves the log joint: the largest rank of a row's Hessian.

    Args:
        model: The model.
        dataset: A few rows.
        z: Latents at which to look.
    """

    def eigenvalues(dataset: Dataset, z: Array) -> Array:
        def one_row(values: dict[str, Array], row_mask: Array) -> Array:
            hessian = jax.hessian(lambda at: lone_row_log_likelihood(model, at, dataset, values, row_mask))(z)
            return jnp.abs(jnp.linalg.eigvalsh(jnp.nan_to_num(hessian)))

        return vmap(one_row)(dataset.values, dataset.row_mask)

    found = np.asarray(jit(eigenvalues)(dataset, z))
    rank = np.sum(found > 1e-3 * np.maximum(found.max(axis=1, keepdims=True), 1e-12), axis=1)
    return int(np.clip(np.max(rank), 1, min(MOST_DIRECTIONS, model.space.size)))
