r"""Pareto smoothing of many sets of importance ratios at once (Vehtari et al. 2024).

The largest ratios of each set are replaced by quantiles of a generalized Pareto distribution that is fitted to them;
its shape k-hat says how heavy their tail is. The fit is that of Zhang and Stephens (2009): the posterior mean over a
grid of $b = -k / \sigma$ by profile likelihood, with Vehtari's weak prior that pulls k to 0.5. ArviZ does the same for
one set at a time; a batch of datasets would wait for it longer than for its draws.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["num_tail", "smooth_tails"]

PRIOR_DRAWS, PRIOR_K = 10, 0.5
PRIOR_B = 3
FEWEST_TAIL = 5


def num_tail(num_draws: int) -> int:
    """Draws that count as the tail."""
    return max(int(min(num_draws / 5, 3.0 * np.sqrt(num_draws))), FEWEST_TAIL)


def smooth_tails(
    log_ratios: Float[np.ndarray, "set draw"],
) -> tuple[Float[np.ndarray, "set draw"], Float[np.ndarray, " set"]]:
    """Normalised log weights with smoothed tails, and k-hat; not finite where nothing fits.

    Args:
        log_ratios: Finite, in nats; not all equal within a set.
    """
    largest = num_tail(log_ratios.shape[1])
    shifted = log_ratios - log_ratios.max(axis=1, keepdims=True)
    order = np.argsort(shifted, axis=1)
    tail_index = order[:, -largest:]
    tail = np.take_along_axis(shifted, tail_index, axis=1)
    cutoff = np.exp(np.take_along_axis(shifted, order[:, -largest - 1, None], axis=1))
    with np.errstate(all="ignore"):  # a fit that degenerates shows in its result
        shape, scale = _fit(np.exp(tail) - cutoff)
        steps = np.log1p(-(np.arange(largest) + 0.5) / largest)
        k, sigma = shape[:, None], scale[:, None]
        excess = np.where(k == 0.0, -sigma * steps, sigma * np.expm1(-k * steps) / k)
        smooth = np.minimum(np.log(np.where(sigma > 0.0, cutoff + excess, np.nan)), 0.0)
        smooth = np.minimum(smooth, tail[:, -1:])
    weights = shifted.copy()
    np.put_along_axis(weights, tail_index, np.where(np.isfinite(k), smooth, tail), axis=1)
    weights -= weights.max(axis=1, keepdims=True)
    return weights - np.log(np.exp(weights).sum(axis=1, keepdims=True)), shape


def _fit(excess: Float[np.ndarray, "set tail"]) -> tuple[Float[np.ndarray, " set"], Float[np.ndarray, " set"]]:
    """Shape and scale of generalized Pareto distributions, for ascending values above 0."""
    num_tail = excess.shape[1]
    num_grid = 30 + int(np.sqrt(num_tail))
    quartile = excess[:, int(num_tail / 4 + 0.5) - 1, None]
    grid = 1.0 - np.sqrt(num_grid / (np.arange(num_grid) + 0.5))
    b = grid / (PRIOR_B * quartile) + 1.0 / excess[:, -1:]
    k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(axis=2)
    profile = num_tail * (np.log(-b / k) - k - 1.0)
    likelihood = np.exp(profile - profile.max(axis=1, keepdims=True))
    b_mean = (b * likelihood).sum(axis=1) / likelihood.sum(axis=1)
    shape = np.log1p(-b_mean[:, None] * excess).mean(axis=1)
    scale = -shape / b_mean
    return (num_tail * shape + PRIOR_DRAWS * PRIOR_K) / (num_tail + PRIOR_DRAWS), scale
