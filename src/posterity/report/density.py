"""Densities of draws on a range that suits the eye."""

import numpy as np

__all__ = ["density", "padded_range", "shared_range"]

GRID = 160
MIN_DRAWS = 20
BOUND_SHARE = 0.02
"""Share of the draws within a tenth of their sd from the outermost one: 0.03 for a uniform, 0.002 for a normal."""


def density(
    values: np.ndarray, low: float, high: float, support: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel density estimate between `low` and `high`, where its integral is the share of draws there.

    A bound of the support, such as zero for a standard deviation, is kept sharp; elsewhere the density runs out.

    Args:
        values: Finite draws, shape `(draw,)`.
        low: Lower end of the range.
        high: Upper end.
        support: Where there may be values at all; None to guess it, from how many lie close to the outermost one.

    Returns:
        Grid and density, shape `(grid,)`; zero where fewer than 20 draws lie inside or all are equal.
    """
    from arviz_stats.base.array import array_stats  # here, since it takes a second

    grid = np.linspace(low, high, GRID)
    width = high - low
    near = values[(values >= low - width) & (values <= high + width)].astype(np.float64)
    if np.sum((near >= low) & (near <= high)) < MIN_DRAWS or np.ptp(near) == 0.0:
        return grid, np.zeros(GRID)
    found, heights, _ = array_stats.kde(near, custom_lims=_limits(near, support))
    share = len(near) / len(values)
    return grid, share * np.interp(grid, found, heights, left=0.0, right=0.0)


def _limits(values: np.ndarray, support: tuple[float, float] | None) -> tuple[float, float]:
    """Where the density ends: at a bound of the support, else beyond the outermost value."""
    low, high, sd = float(values.min()), float(values.max()), float(values.std())
    if support is not None:
        return max(low - sd, support[0]), min(high + sd, support[1])
    is_bound = [np.mean(values <= low + 0.1 * sd) >= BOUND_SHARE, np.mean(values >= high - 0.1 * sd) >= BOUND_SHARE]
    return low - (0.0 if is_bound[0] else 0.5 * sd), high + (0.0 if is_bound[1] else 0.5 * sd)


def padded_range(values: np.ndarray, tail: float = 0.002, margin: float = 0.08) -> tuple[float, float]:
    """Range of all but the outermost values, with a margin, never empty.

    Args:
        values: Finite numbers.
        tail: Share to leave out at each end.
        margin: Share of the width to add at each end.
    """
    low, high = (float(q) for q in np.quantile(values, [tail, 1.0 - tail]))
    width = (high - low) or max(abs(low), 1.0) * 1e-3
    return low - margin * width, high + margin * width


def shared_range(
    posterior: np.ndarray,
    prior: np.ndarray,
    widest: float = 8.0,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """Range that shows the posterior, and as much of the prior's middle half as `widest` times its width allows.

    Args:
        posterior: Finite draws.
        prior: Finite draws; there may be none.
        widest: How many times wider than the posterior's own range it may be.
        support: Where there may be values at all.
    """
    low, high = padded_range(posterior)
    margin = 0.02 * (high - low)  # what ends at a bound is seen to end there
    low, high = max(low, support[0] - margin), min(high, support[1] + margin)
    if not len(prior):
        return low, high
    q25, q75 = (float(q) for q in np.quantile(prior, [0.25, 0.75]))
    reach = (widest - 1.0) / 2.0 * (high - low)
    return max(min(low, q25), low - reach), min(max(high, q75), high + reach)
