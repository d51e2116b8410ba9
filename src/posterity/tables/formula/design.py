"""Expressions of a formula -> columns of numbers, by formulaic; the only file that knows it.

Formulaic takes a pandas frame. What it learns from the first table (levels, the centre of `center(x)`, the knots of
`bs(x)`) it keeps in a spec, by which later rows become the same columns.
"""

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.cells import counted, label, listed, show

__all__ = ["INTERCEPT", "Design", "as_pandas", "refuse_new_levels"]

INTERCEPT = "Intercept"
"""What formulaic calls the column of ones."""

_COLOURS = re.compile(r"\x1b\[[\d;]*m|⧛\[[\d;]*m|⧚")


@dataclass(frozen=True, eq=False)
class Design:
    """One right side of a formula, as learnt from a table.

    Attributes:
        text: The right side.
        columns: Names of its columns, such as `x`, `f[T.b]`, `x:f[T.b]`; `Intercept` first where it has one.
        spec: Formulaic's.
    """

    text: str
    columns: tuple[str, ...]
    spec: Any

    @classmethod
    def fit(cls, text: str, table: Any, where: str) -> "tuple[Design, np.ndarray]":
        """Learns what a right side means, and gives its columns for the table that it is learnt from.

        Args:
            text: The right side.
            table: From `as_pandas`.
            where: Start of the error message.

        Raises:
            InputError: Formulaic cannot read or evaluate it, or a value is not finite.
        """
        formulaic = _formulaic()
        how = {"context": {}, "output": "numpy", "na_action": "ignore"}  # it would drop rows without a word
        made = _told(lambda: formulaic.Formula(text).get_model_matrix(table, **how), text, where)
        if not hasattr(made, "model_spec") or not hasattr(made.model_spec, "column_names"):
            raise InputError(f"{where}: '{text}' has several sides. Write one sum of terms")
        design = cls(text, tuple(made.model_spec.column_names), made.model_spec)
        return design, design._checked(made, where)

    def matrix(self, table: Any, where: str) -> np.ndarray:
        """The same columns for other rows, shape `(rows, columns)`.

        Args:
            table: From `as_pandas`.
            where: Start of the error message.

        Raises:
            InputError: A level is new, or a value is not finite.
        """
        return self._checked(_told(lambda: self.spec.get_model_matrix(table, context={}), self.text, where), where)

    def _checked(self, made: Any, where: str) -> np.ndarray:
        matrix = np.asarray(made, np.float64).reshape(len(made), len(self.columns))
        bad = ~np.isfinite(matrix)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{where}: '{self.columns[column]}' is no finite number in "
                f"{counted(int(bad.any(axis=1).sum()), 'row')}, the first is row {row + 1} of those that are complete. "
                "Mend its cells, or transform it otherwise"
            )
        return matrix


def as_pandas(cells: pl.DataFrame, levels: Mapping[str, pl.Series], num_rows: int) -> Any:
    """Cells without a missing one as the frame that formulaic takes.

    Args:
        cells: Numbers, and levels of categorical columns.
        levels: Categorical column -> its levels in order.
        num_rows: Rows, which cells without columns do not tell.
    """
    _formulaic()  # pandas comes with it
    pandas = importlib.import_module("pandas")
    columns: dict[str, Any] = {}
    for column in cells:
        if column.name in levels:
            names = [label(level) for level in levels[column.name]]
            columns[column.name] = pandas.Categorical([label(cell) for cell in column], categories=names)
        else:
            columns[column.name] = column.to_numpy()
    return pandas.DataFrame(columns, index=range(num_rows))


def refuse_new_levels(cells: pl.DataFrame, levels: Mapping[str, pl.Series], known_from: str, source: str) -> None:
    """Refuses levels that the first table does not have.

    Raises:
        InputError: There is one.
    """
    for name, known in levels.items():
        if name not in cells.columns:
            continue
        names = {label(level) for level in known}
        new = [cell for cell in cells[name].unique(maintain_order=True) if label(cell) not in names]
        if new:
            raise InputError(
                f"{source}: column '{name}' has the category '{show(new[0])}'; {known_from} has {listed(known)}. Leave "
                "such rows out, or infer from a table that has it."
            )


def _formulaic() -> Any:
    try:
        return importlib.import_module("formulaic")
    except ModuleNotFoundError:
        raise InputError(
            "formulas need the package formulaic, which is not installed. Install it: pip install posterity[formula]"
        ) from None


def _told(make: Any, text: str, where: str) -> Any:
    """What formulaic makes, its errors in one line."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Data has categories outside")
            return make()
    except Exception as error:  # it raises what the expressions raise, which may be anything
        said = next((line for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{where}: '{text}' cannot be evaluated: {said.strip()}") from error
