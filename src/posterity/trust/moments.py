"""Moments and quantiles of one scalar under weighted draws."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

__all__ = ["in_other_units", "moments_and_quantiles", "moments_and_quantiles_of_many"]

AT_ONCE = 8  # datasets whose draws are looked at together: they stay near the processor
SAME_UNIT = 1e-9  # of the range of the draws


def moments_and_quantiles(
    values: Float[np.ndarray, " draw"], weights: Float[np.ndarray, " draw"], levels: Sequence[float]
) -> tuple[float, float, Float[np.ndarray, " level"]]:
    r"""Mean, standard deviation and quantiles; all NaN where a draw that has weight is not finite.

    mean = $\sum_s w_s x_s$ and sd = $(\sum_s w_s (x_s - \mathrm{mean})^2)^{1/2}$. The quantile function interpolates
    linearly between the sorted draws, of which draw s sits at $\sum_{r<s} w_r + w_s/2$; with equal weights that is
    `numpy.quantile(..., method="hazen")`, which differs from NumPy's default by at most half the gap between
    neighbouring draws.

    Args:
        values: Draws. One of weight zero counts for nothing, whatever its value.
        weights: Not negative, of sum 1.
        levels: Probabilities of the quantiles.
    """
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    if not np.isfinite(values).all():
        return float("nan"), float("nan"), np.full(len(levels), np.nan)
    mean = weights @ values
    sd = np.sqrt(weights @ (values - mean) ** 2)
    order = np.argsort(values)
    ordered = weights[order]
    positions = np.cumsum(ordered) - ordered / 2.0
    return float(mean), float(sd), np.interp(levels, positions, values[order])


def moments_and_quantiles_of_many(
    values: Float[np.ndarray, "dataset scalar draw"],
    weights: Float[np.ndarray, "dataset draw"],
    levels: Sequence[float],
) -> Float[np.ndarray, "dataset scalar statistic"]:
    """Mean, standard deviation and quantiles, as `moments_and_quantiles` has them, of many scalars at once.

    Args:
        values: Draws, finite.
        weights: Of each dataset's draws, positive, of sum 1.
        levels: Probabilities of the quantiles.
    """
    parts = [slice(first, first + AT_ONCE) for first in range(0, len(values), AT_ONCE)]
    return np.concatenate([_of_some(values[part], weights[part], levels) for part in parts])


def in_other_units(
    statistics: Float[np.ndarray, "dataset scalar statistic"],
    values: Float[np.ndarray, "dataset scalar draw"],
    others: Float[np.ndarray, "dataset scalar draw"],
    weights: Float[np.ndarray, "dataset draw"],
    levels: Sequence[float],
) -> Float[np.ndarray, "dataset scalar statistic"]:
    """`moments_and_quantiles_of_many` of the same scalars in other units.

    Where these differ by a factor and a shift, nothing is sorted again.

    Args:
        statistics: Of `values`.
        values: Draws.
        others: The same draws in other units.
        weights: As before.
        levels: As before.
    """
    low, high = (which(values, axis=2)[:, :, None] for which in (np.argmin, np.argmax))
    ends, other_ends = (
        [np.take_along_axis(array, where, axis=2).astype(np.float64) for where in (low, high)]
        for array in (values, others)
    )
    width = ends[1] - ends[0]
    factor = (other_ends[1] - other_ends[0]) / np.where(width > 0.0, width, 1.0)
    gaps = np.abs(others - (other_ends[0] + factor * (values - ends[0]))).max(axis=2)
    is_scaled = np.all((factor > 0.0)[:, :, 0] & (gaps <= SAME_UNIT * (factor * width)[:, :, 0]), axis=0)
    found = other_ends[0] + factor * (statistics - ends[0])
    found[:, :, 1:2] = factor * statistics[:, :, 1:2]
    found[:, ~is_scaled] = moments_and_quantiles_of_many(others[:, ~is_scaled], weights, levels)
    return found


def _of_some(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, np.float64)
    mean = values @ weights[:, :, None]
    centred = values - mean
    sd = np.sqrt(np.square(centred) @ weights[:, :, None])
    scale = np.where(sd > 0.0, sd, 1.0)
    order = _order((centred / scale).astype(np.float32))
    ordered = np.take_along_axis(weights[:, None], order, axis=2)
    positions = np.cumsum(ordered, axis=2) - ordered / 2.0
    found = [mean, sd]
    for level in levels:
        above = np.count_nonzero(positions < level, axis=2)[:, :, None]
        ends = np.concatenate([np.maximum(above - 1, 0), np.minimum(above, values.shape[2] - 1)], axis=2)
        low, high = np.moveaxis(np.take_along_axis(positions, ends, axis=2), 2, 0)[..., None]
        share = np.clip((level - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        at = np.take_along_axis(centred, np.take_along_axis(order, ends, axis=2), axis=2)
        found.append(mean + at[:, :, :1] + share * (at[:, :, 1:] - at[:, :, :1]))
    return np.concatenate(found, axis=2)


def _order(values: Float[np.ndarray, "*batch draw"]) -> Int[np.ndarray, "*batch draw"]:
    """`argsort` along the last axis, by sorting integers that hold a value's order and its place: twice as fast."""
    bits = values.view(np.uint32)
    ascending = bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    packed = ascending.astype(np.uint64) << np.uint64(32) | np.arange(values.shape[-1], dtype=np.uint64)
    packed.sort(axis=-1)
    return (packed & np.uint64(0xFFFFFFFF)).astype(np.intp)
