"""Z-scores for models that are defined on them, and the way back to the user's units."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.cells import is_constant, listed
from posterity.tables.columns import NumericTable

__all__ = ["Scaling", "regression_original_units", "standardize"]

_REGRESSION_SITES = ("w", "b", "sigma")


@dataclass(frozen=True, eq=False)
class Scaling:
    """What was subtracted and divided by, in the user's units; standard deviations with ddof 0."""

    names: tuple[str, ...]
    """Covariates, as in `means` and `sds`."""
    means: np.ndarray
    """Shape (columns,)."""
    sds: np.ndarray
    """Shape (columns,), positive."""
    target_mean: float = 0.0
    """0 when the target is not scaled."""
    target_sd: float = 1.0
    """1 when the target is not scaled."""

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers; `json` writes floats so that they come back to the bit."""
        return {
            "names": list(self.names),
            "means": self.means.tolist(),
            "sds": self.sds.tolist(),
            "target_mean": self.target_mean,
            "target_sd": self.target_sd,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Scaling":
        """The inverse of `to_json`.

        Raises:
            InputError: The record is no scaling.
        """
        expected = [field.name for field in fields(cls)]
        if sorted(record) != sorted(expected):
            raise InputError(f"scaling: keys {listed(sorted(record))}; expected {listed(expected)}. Write it anew.")
        names, means, sds = (
            tuple(record["names"]),
            np.array(record["means"], float),
            np.array(record["sds"], float),
        )
        if not means.shape == sds.shape == (len(names),):
            raise InputError(
                f"scaling: {len(names)} names, means of shape {means.shape}, sds of shape {sds.shape}; "
                "expected one of each per covariate. Write it anew."
            )
        return cls(names, means, sds, float(record["target_mean"]), float(record["target_sd"]))


def standardize(
    table: NumericTable, *, scale_target: bool, columns: Collection[str] | None = None
) -> tuple[NumericTable, Scaling]:
    r"""Z-scored covariates, $(x_j - m_j) / s_j$ with ddof 0, and the scaling that undoes it.

    Args:
        table: Its columns vary, as `numeric_table` sees to.
        scale_target: Z-score the target too; for real targets only, never for classes and counts.
        columns: Covariates to scale; all of them if None. The others get mean 0 and sd 1.

    Raises:
        InputError: A column is constant, or there is no real target to scale.
    """
    chosen = np.array([columns is None or name in columns for name in table.names], bool)
    constant = np.flatnonzero(is_constant(table.values) & chosen)
    if constant.size > 0:
        raise InputError(f"constant column {listed([table.names[j] for j in constant])}: no z-scores. Remove it.")
    means = np.where(chosen, table.values.mean(axis=0), 0.0)
    sds = np.where(chosen, table.values.std(axis=0), 1.0)
    scaled = replace(table, values=(table.values - means) / sds)
    if not scale_target:
        return scaled, Scaling(table.names, means, sds)
    if table.target is None or not np.issubdtype(table.target.dtype, np.floating) or is_constant(table.target):
        raise InputError("target: only a real-valued target that varies has z-scores. Leave it as it is.")
    target_mean, target_sd = float(table.target.mean()), float(table.target.std())
    scaled = replace(scaled, target=(table.target - target_mean) / target_sd)
    return scaled, Scaling(table.names, means, sds, target_mean, target_sd)


def regression_original_units(scaling: Scaling, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    r"""The same draws of a generalized linear model, in the user's units.

    On z-scores $\eta = b + \sum_j w_j (x_j - m_j) / s_j$, and $m_y + s_y \eta$ on the target's own scale.
    Hence $w_j s_y / s_j$, $m_y + s_y (b - \sum_j w_j m_j / s_j)$ and $\sigma s_y$: exact draw by draw, so
    importance weights stay as they are.

    Args:
        scaling: From `standardize`. Where the target was not scaled, $m_y = 0$ and $s_y = 1$.
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
