"""Weighted draws as draws of equal weight, which is what ArviZ and its plots expect."""

import numpy as np

__all__ = ["resampled_indices"]


def resampled_indices(log_weights: np.ndarray | None, num_available: int, num_draws: int) -> np.ndarray:
    r"""Which draws to take, and how often, so that the copies stand for the weights.

    Systematic resampling: draw s fills the stretch $[\sum_{r<s} w_r, \sum_{r \le s} w_r)$ of the unit interval and
    is taken once for each of the points $(i + 1/2) / n$ in it. Its copies thus number $n w_s$, rounded up or down.
    They stay side by side: the autocorrelation of the result is that of the weights, and the effective sample
    size that ArviZ computes from it agrees with $1 / \sum_s w_s^2$.

    Args:
        log_weights: Shape `(draw,)`, up to a constant; None for equal weights, which thins evenly, or changes
            nothing where `num_draws` is `num_available`.
        num_available: Draws that there are.
        num_draws: Draws to take, n.

    Returns:
        Ascending indices, shape `(num_draws,)`.
    """
    weights = np.ones(num_available) if log_weights is None else np.exp(log_weights - np.max(log_weights))
    ends = np.cumsum(weights)
    points = (np.arange(num_draws) + 0.5) / num_draws * ends[-1]
    return np.minimum(np.searchsorted(ends, points, side="right"), num_available - 1)
