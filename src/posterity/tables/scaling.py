"""Z-scores for models that are defined on them, and the way back to the user's units."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.cells import listed

__all__ = ["FAR", "NARROW", "WIDE", "Scaling", "far_scales", "location_and_scale", "regression_original_units"]

_REGRESSION_SITES = ("w", "b", "sigma")
_REACH = 10.0  # interquartile ranges beyond the quartiles, where a Gaussian has nothing in 10^44 rows
# Of a column: mean and sds at which a model that expects z-scores hears of it.
FAR, WIDE, NARROW = 20.0, 20.0, 1e-3


@dataclass(frozen=True, eq=False)
class Scaling:
    """What was subtracted and divided by, in the user's units."""

    names: tuple[str, ...]
    """Covariates, as in `means` and `sds`."""
    means: np.ndarray
    """Shape (columns,); 0 where a column is not scaled."""
    sds: np.ndarray
    """Shape (columns,), positive; 1 where a column is not scaled."""
    target_mean: float = 0.0
    """0 when the target is not scaled."""
    target_sd: float = 1.0
    """1 when the target is not scaled."""


def location_and_scale(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd (ddof 0) of every column, after clipping to [q25 - 10 IQR, q75 + 10 IQR].

    They are the plain mean and sd, to the bit, where nothing lies beyond. A single wrong cell can then move neither
    by more than the clipped value does, whatever its size. Where the interquartile range is 0 nothing is clipped.

    Args:
        values: Shape (rows, columns) or (rows,).
        weights: Of every row in the quartiles, shape (rows,); equal ones if None. With one over the size of the row's
            group every group counts alike, so that none that holds less than a quarter can move a quartile far.

    Returns:
        Both of shape (columns,) or ().
    """
    low, high = np.quantile(values, (0.25, 0.75), axis=0, weights=weights, method="inverted_cdf")
    reach = np.where(high > low, _REACH * (high - low), np.inf)
    clipped = np.clip(values, low - reach, high + reach)
    return np.asarray(clipped.mean(axis=0)), np.asarray(clipped.std(axis=0))


def far_scales(z_scores: Mapping[str, np.ndarray], scales: Mapping[str, tuple[float, float]]) -> list[str]:
    """A sentence for every z-scored column that lies far from the scale it was given.

    Far is a mean more than 20 sds away, or an sd more than 20 times or less than 1/1000 of that of the table. A column
    that does not vary at all is passed over.

    Args:
        z_scores: Column -> its z-scores, shape (rows,).
        scales: Column -> the mean and sd that they were made with; 0 and 1 where it is not scaled.
    """
    found = []
    for name, (mean, sd) in scales.items():
        own_mean, own_sd = float(z_scores[name].mean()), float(z_scores[name].std())
        is_far = abs(own_mean) > FAR or own_sd > WIDE or 1e-12 < own_sd < NARROW
        if is_far and (mean, sd) != (0.0, 1.0):
            found.append(
                f"column '{name}' has mean {mean + sd * own_mean:.4g} and sd {sd * own_sd:.4g} in these rows, far from "
                f"mean {mean:.4g} and sd {sd:.4g}, by which it was z-scored; look for wrong cells or another unit"
            )
    return found


def regression_original_units(scaling: Scaling, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    r"""The same draws of a generalized linear model, in the user's units.

    On z-scores $\eta = b + \sum_j w_j (x_j - m_j) / s_j$, and $m_y + s_y \eta$ on the target's own scale.
    Hence $w_j s_y / s_j$, $m_y + s_y (b - \sum_j w_j m_j / s_j)$ and $\sigma s_y$: exact draw by draw, so
    importance weights stay as they are.

    Args:
        scaling: Where the target was not scaled, $m_y = 0$ and $s_y = 1$.
        draws: Sites `w` (draw, column) and `b` (draw,), with `sigma` (draw,) or without; for several classes
            `w` (draw, column, class) and `b` (draw, class).

    Returns:
        The same sites, float64, shapes unchanged.

    Raises:
        InputError: Other sites, or shapes that do not fit the scaling.
    """
    _check_regression(scaling, draws)
    w, b = np.asarray(draws["w"], np.float64), np.asarray(draws["b"], np.float64)
    per_unit = np.moveaxis(np.moveaxis(w, 1, -1) / scaling.sds, -1, 1)  # axis 1 holds the columns
    at_origin = b - np.einsum("dj...,j->d...", per_unit, scaling.means)  # eta where every covariate is 0
    original = {"w": per_unit * scaling.target_sd, "b": scaling.target_mean + scaling.target_sd * at_origin}
    if "sigma" in draws:
        original["sigma"] = np.asarray(draws["sigma"], np.float64) * scaling.target_sd
    return original


def _check_regression(scaling: Scaling, draws: Mapping[str, np.ndarray]) -> None:
    if not {"w", "b"} <= draws.keys() <= set(_REGRESSION_SITES):
        raise InputError(
            f"original units: latents {listed(sorted(draws))}; expected 'w', 'b' and perhaps 'sigma', "
            "those of a generalized linear model. Other models have no such units."
        )
    shapes = {site: np.shape(values) for site, values in draws.items()}
    num_draws, num_columns = len(draws["b"]), len(scaling.names)
    expected = {"w": (num_draws, num_columns, *shapes["b"][1:]), "b": shapes["b"][:2], "sigma": (num_draws,)}
    wrong = [
        f"'{site}' {shape}, expected {expected[site]}" for site, shape in shapes.items() if shape != expected[site]
    ]
    if wrong:
        raise InputError(f"original units: shapes {'; '.join(wrong)}. Draws come first, then covariates, then classes.")
