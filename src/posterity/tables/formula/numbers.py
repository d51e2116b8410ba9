"""Expressions that give one number for each row beside the columns: offset, trials, weights."""

from collections.abc import Mapping

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.formula.family import FormulaFamily
from posterity.tables.formula.parse import Formula
from posterity.tables.formula.response import check_trials
from posterity.tables.formula.syntax import columns_in

__all__ = ["check_numbers", "number_expressions"]

_CURES = {
    "offset": "Leave it out",
    "trials": "Take the family binomial",
    "weights": "Repeat the rows instead; for equal rows with counts, take the family binomial or poisson",
}


def number_expressions(
    formula: Formula, family: FormulaFamily, trials: str | None, weights: str | None, where: str
) -> dict[str, str]:
    """`offset`, `trials` and `weights` -> their expressions, those that are given.

    Args:
        formula: The formula.
        family: Of the response.
        trials: What was given beside the formula.
        weights: What was given beside the formula.
        where: Start of the error message.

    Raises:
        InputError: The family does not take one, lacks its trials, or they are given twice.
    """
    if trials is not None and formula.trials is not None:
        raise InputError(f"{where}: trials are given twice, in the formula and as trials='{trials}'. Give them once")
    given = {
        "offset": " + ".join(f"({text})" for text in formula.offsets) or None,
        "trials": trials if trials is not None else formula.trials,
        "weights": weights,
    }
    found = {name: text for name, text in given.items() if text is not None}
    for name, text in found.items():
        if not columns_in([text]):
            raise InputError(
                f"{where}: {name} '{text}' mentions no column. Give the name of one, or add one to the table"
            )
        if name not in family.takes:
            raise InputError(f"{where}: family '{family.name}' takes no {name}. {_CURES[name]}")
    if "trials" in family.takes and "trials" not in found:
        raise InputError(
            f"{where}: family '{family.name}' needs the trials of each row: cbind(SUCCESSES, FAILURES) ~ ..., or "
            "trials='COLUMN'"
        )
    return found


def check_numbers(numbers: Mapping[str, np.ndarray], y: np.ndarray, source: str) -> None:
    """Refuses trials that are no counts or fewer than the successes, and weights that are not above 0.

    Args:
        numbers: Name -> values, shape `(rows,)`.
        y: The response, shape `(rows,)`.
        source: What messages call the table.

    Raises:
        InputError: There is one.
    """
    if "trials" in numbers:
        check_trials(y, numbers["trials"], source)
    if "weights" in numbers and np.any(numbers["weights"] <= 0):
        raise InputError(f"{source}: weights must be above 0; got {numbers['weights'].min():g}. Leave such rows out")
