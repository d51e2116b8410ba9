r"""Are numbers uniform on [0, 1]? Their empirical distribution function against a simultaneous band.

Of N independent uniform numbers, the count up to x is Binomial(N, x). Säilynoja, Bürkner and Vehtari (2022) take
central intervals of these binomials at many x, all of one pointwise level, so wide that the whole curve stays inside
with the wanted probability. ArviZ finds that level by simulation. False alarms of 1 in 1000, shared between many
latents, lie further out than simulation reaches, so here the probability is exact, and with it a p-value.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

__all__ = ["ecdf", "evaluation_points", "simultaneous_band", "uniformity_p_value"]

MOST_STEPS = 100


def uniformity_p_value(values: Float[np.ndarray, " value"]) -> float:
    """P-value of the test that independent numbers are uniform on [0, 1]; exact, for any number of them.

    The statistic is the smallest two-sided binomial tail that the curve has at any evaluation point: the pointwise
    level at which the curve would just touch its band.

    Args:
        values: At least 2 numbers in [0, 1].
    """
    size = len(values)
    counts = np.rint(size * ecdf(values, evaluation_points(size))).astype(int)
    tails = _two_sided_tails(size)
    extreme = tails[np.arange(len(counts)), counts].min()
    return float(np.clip(1.0 - _probability_inside(tails > extreme * (1.0 + 1e-9), size), 0.0, 1.0))


@lru_cache(maxsize=32)
def simultaneous_band(
    size: int, level: float
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Evaluation points, and the ends of the band that holds the whole curve with probability `level` or more.

    Args:
        size: How many uniform numbers there are, at least 2.
        level: Between 0 and 1.
    """
    tails = _two_sided_tails(size)
    low, high = np.log(1e-300), 0.0  # of the pointwise tail probability
    for _ in range(60):
        middle = (low + high) / 2.0
        inside = _probability_inside(tails > np.exp(middle), size) >= level
        low, high = (middle, high) if inside else (low, middle)
    inside = tails > np.exp(low)
    return evaluation_points(size), np.argmax(inside, axis=1) / size, 1.0 - np.argmax(inside[:, ::-1], axis=1) / size


def evaluation_points(size: int) -> Float[np.ndarray, " point"]:
    """Evenly spaced points inside (0, 1) at which the curve of `size` numbers is judged."""
    steps = min(size, MOST_STEPS)
    return np.arange(1, steps) / steps


def ecdf(values: Float[np.ndarray, " value"], points: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Share of `values` up to each point."""
    return np.searchsorted(np.sort(values), points, side="right") / len(values)


@lru_cache(maxsize=32)
def _two_sided_tails(size: int) -> Float[np.ndarray, "point count"]:
    """2 min(P(C <= c), P(C >= c)) for C ~ Binomial(size, point) and c = 0..size."""
    counts = np.arange(size + 1)
    points = evaluation_points(size)[:, None]
    return 2.0 * np.minimum(stats.binom.cdf(counts, size, points), stats.binom.sf(counts - 1, size, points))


def _probability_inside(inside: Bool[np.ndarray, "point count"], size: int) -> float:
    """Probability that the counts of `size` uniform numbers up to each point are all allowed.

    They are the counts of a Poisson process of rate `size` that has `size` points in all. Its increments are
    independent, so a step to the next point is one convolution (Moscovich and Nadler 2017).
    """
    mean = size / (len(inside) + 1)
    most = int(mean + 12.0 * np.sqrt(mean) + 40.0)  # beyond it less than 1e-30
    increments = stats.poisson.pmf(np.arange(min(size, most) + 1), mean)
    chance = np.eye(1, size + 1)[0]
    for allowed in inside:
        chance = np.convolve(chance, increments)[: size + 1] * allowed
    return float(np.convolve(chance, increments)[size] / stats.poisson.pmf(size, size))
