"""Rows as networks see them: every argument as real columns of about mean 0 and sd 1, side by side."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float

from posterity.amortized.limits import soft_limit
from posterity.model.arguments import Argument
from posterity.model.dataset import Dataset
from posterity.model.space import broadcast_mask

__all__ = ["RowFeatures", "fit_row_features"]

LINEAR_RANGE = 8.0  # standard deviations that pass unchanged: an outlier beyond stays visible without drowning the rest


class RowFeatures(eqx.Module):
    """Maps a dataset to the matrix that an encoder reads.

    Real values are centred and scaled, counts are logged first, binary values become -1 and 1, classes one
    indicator each. Location and scale are constants that come from simulated datasets; columns along a variable
    plate share them, since its entries are exchangeable.

    Attributes:
        arguments: The problem's arguments.
        locs: Argument -> location, broadcastable to its columns.
        scales: Argument -> scale, likewise.
    """

    arguments: tuple[Argument, ...] = eqx.field(static=True)
    locs: dict[str, Float[Array, "..."]]
    scales: dict[str, Float[Array, "..."]]

    @property
    def feature_size(self) -> int:
        """Number of columns."""
        return sum(int(np.prod(argument.shape)) * max(argument.num_classes, 1) for argument in self.arguments)

    def __call__(self, dataset: Dataset) -> Float[Array, "obs feature"]:
        """Features of one dataset; padded rows and masked entries are 0."""
        columns = []
        for argument in self.arguments:
            real = as_real(argument, dataset.values[argument.name])
            loc = jax.lax.stop_gradient(self.locs[argument.name])
            scale = jax.lax.stop_gradient(self.scales[argument.name])
            real = soft_limit((real - loc) / scale, LINEAR_RANGE)
            mask = _entry_mask(argument, real, dataset)
            columns.append(jnp.reshape(jnp.where(mask, real, 0.0), (real.shape[0], -1)))
        return jnp.concatenate(columns, axis=1)


def as_real(argument: Argument, values: Array) -> Float[Array, "obs ..."]:
    """Values of one argument as real numbers, before any scaling; a class gets one more axis."""
    if argument.kind == "class":
        return jax.nn.one_hot(values, argument.num_classes) - 1.0 / argument.num_classes
    if argument.kind == "binary" or argument.dtype == "bool":
        return 2.0 * values.astype(jnp.float32) - 1.0
    if argument.kind == "count":
        return jnp.log1p(jnp.maximum(values.astype(jnp.float32), 0.0))
    return values.astype(jnp.float32)


def _entry_mask(argument: Argument, real: Array, dataset: Dataset) -> Array:
    mask = broadcast_mask((None, *argument.plates), dataset.plate_masks, real.shape)
    return mask & jnp.reshape(dataset.row_mask, (-1,) + (1,) * (real.ndim - 1))


def fit_row_features(arguments: tuple[Argument, ...], datasets: Dataset) -> RowFeatures:
    """Locations and scales from a batch of datasets, clipped to their central 98% so that tails do not rule.

    Args:
        arguments: The problem's arguments.
        datasets: Batch of datasets, leading axis `batch`.
    """
    locs: dict[str, Array] = {}
    scales: dict[str, Array] = {}
    for argument in arguments:
        real = vmap(lambda values, argument=argument: as_real(argument, values))(datasets.values[argument.name])
        mask = vmap(lambda r, d, argument=argument: _entry_mask(argument, r, d))(real, datasets)
        if _is_indicator(argument):
            locs[argument.name], scales[argument.name] = jnp.zeros(()), jnp.ones(())
            continue
        shared = (0, 1, *(axis + 2 for axis, plate in enumerate(argument.plates) if plate is not None))
        values = np.where(np.asarray(mask), np.asarray(real, np.float64), np.nan)
        low, high = np.nanquantile(values, [0.01, 0.99], axis=shared, keepdims=True)
        values = np.clip(values, low, high)
        loc, scale = (
            np.nanmean(values, axis=shared, keepdims=True),
            np.nanstd(values, axis=shared, keepdims=True),
        )
        locs[argument.name] = jnp.asarray(loc[0, 0], jnp.float32)  # (*_constant_shape,)
        scales[argument.name] = jnp.asarray(np.where(scale > 1e-6, scale, 1.0)[0, 0], jnp.float32)
    return RowFeatures(arguments, locs, scales)


def blank_row_features(arguments: tuple[Argument, ...]) -> RowFeatures:
    """Row features of the right shapes whose constants are still to be loaded."""
    shapes = {a.name: () if _is_indicator(a) else _constant_shape(a) for a in arguments}
    zeros = {name: jnp.zeros(shape) for name, shape in shapes.items()}
    return RowFeatures(arguments, zeros, dict(zeros))


def _is_indicator(argument: Argument) -> bool:
    """Whether its columns are left unscaled."""
    return argument.kind in ("class", "binary") or argument.dtype == "bool"


def _constant_shape(argument: Argument) -> tuple[int, ...]:
    return tuple(1 if p else s for p, s in zip(argument.plates, argument.shape, strict=True))
