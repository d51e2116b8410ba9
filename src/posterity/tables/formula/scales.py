"""Centres and scales of a formula's fixed part and of its response."""

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.cells import is_constant, listed
from posterity.tables.formula.design import INTERCEPT, Design
from posterity.tables.scaling import Scaling, location_and_scale

__all__ = ["fixed_columns", "fixed_scaling"]


def fixed_columns(fixed: Design) -> tuple[str, ...]:
    """Columns of the fixed part without the intercept."""
    return tuple(name for name in fixed.columns if name != INTERCEPT)


def fixed_scaling(
    fixed: Design,
    matrix: np.ndarray,
    residual: np.ndarray | None,
    weights: np.ndarray | None,
    where: str,
) -> Scaling:
    """Centres (beside an intercept alone) and scales of the fixed part's columns, and those of the response.

    Columns of 0 and 1 keep their unit: their slope is what a person expects of it.

    Args:
        fixed: The fixed part.
        matrix: Its columns, shape `(rows, columns)`.
        residual: Response without its offset, shape `(rows,)`; None where it is not z-scored.
        weights: Of each row in the quartiles; None for equal ones.
        where: Start of the error message.

    Raises:
        InputError: A column does not vary, or the response cannot be centred and lies far from 0.
    """
    names, has_intercept = fixed_columns(fixed), INTERCEPT in fixed.columns
    columns = matrix[:, [fixed.columns.index(name) for name in names]]
    means, sds, constant = np.zeros(len(names)), np.ones(len(names)), np.zeros(len(names), bool)
    if names and has_intercept:
        means, sds = location_and_scale(columns, weights)
        constant = is_constant(columns)
    elif names:
        sds = np.sqrt(np.mean(columns**2, axis=0))
        constant = sds == 0.0
    if constant.any():
        raise InputError(
            f"{where}: column {listed(np.array(names)[constant])} does not vary, so that its slope cannot be told from "
            "the intercept. Remove it"
        )
    sds = np.where(np.isin(columns, (0.0, 1.0)).all(axis=0), 1.0, sds)
    mean, sd = 0.0, 1.0
    if residual is not None:
        mean, sd = map(float, location_and_scale(residual, weights))
        if not has_intercept:
            mean, sd = _without_centre(residual, sd, where)
    return Scaling(names, means, sds, mean, sd)


def _without_centre(residual: np.ndarray, sd: float, where: str) -> tuple[float, float]:
    """Location 0 and scale of a response that no intercept centres."""
    size = float(np.sqrt(np.mean(residual**2)))
    if size > 1e3 * sd:
        raise InputError(
            f"{where}: without an intercept the response, of mean {residual.mean():.6g} and sd {sd:.3g}, cannot be "
            "centred, and 32-bit floats would lose its differences. Keep the intercept, or subtract a number from it"
        )
    return 0.0, size
