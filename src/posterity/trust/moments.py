"""Moments and quantiles of one scalar under weighted draws."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["moments_and_quantiles"]


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
