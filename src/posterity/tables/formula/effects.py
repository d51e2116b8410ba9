"""What varies by group: the columns of a bar term, their scales, and the names that a program gives them."""

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.cells import is_constant
from posterity.tables.formula.design import INTERCEPT, Design
from posterity.tables.formula.factors import Grouping

__all__ = ["GroupEffects", "effect_scales", "identifier", "split_uncorrelated"]

_FAR = 50.0  # sds between 0 and the values of a column; beyond, "the effect at 0" is an extrapolation nobody has seen


@dataclass(frozen=True, eq=False)
class GroupEffects:
    """Effects that vary by a group together: one, or several with correlations.

    Attributes:
        site: What the program calls them: sites `sd_SITE`, `L_SITE` and `u_SITE`.
        index: Argument that holds the group of each row; also the plate of the groups.
        argument: Argument that holds the columns; None where the effect is an intercept alone.
        design: The term's columns, of which these are some.
        columns: Names of the columns.
        scales: Divisor of each column, positive, shape `(columns,)`.
        grouping: The groups.
    """

    site: str
    index: str
    argument: str | None
    design: Design
    columns: tuple[str, ...]
    scales: np.ndarray
    grouping: Grouping

    def values(self, matrix: np.ndarray) -> np.ndarray | None:
        """Its argument: shape `(rows,)` for one column, else `(rows, columns)`; None where it takes none.

        Args:
            matrix: Columns of its design, shape `(rows, columns of the design)`.
        """
        if self.argument is None:
            return None
        chosen = matrix[:, [self.design.columns.index(name) for name in self.columns]] / self.scales
        return chosen[:, 0] if len(self.columns) == 1 else chosen


def split_uncorrelated(columns: tuple[str, ...], correlated: bool) -> list[tuple[str, ...]]:
    """Columns that share correlations: all of them, or each by itself."""
    return [columns] if correlated else [(name,) for name in columns]


def effect_scales(design: Design, matrix: np.ndarray, where: str) -> np.ndarray:
    """Divisors of a bar term's columns: their sds; 1 for the intercept and for columns of 0 and 1.

    They are not centred: an effect that varies by group is that at 0, whatever else varies.

    Args:
        design: The term's columns.
        matrix: Their values, shape `(rows, columns)`.
        where: Start of the error message.

    Raises:
        InputError: A column does not vary, or lies so far from 0 that the intercept beside it means nothing.
    """
    has_intercept = INTERCEPT in design.columns
    scales = np.ones(len(design.columns))
    for place, name in enumerate(design.columns):
        column = matrix[:, place]
        if name == INTERCEPT or np.isin(column, (0.0, 1.0)).all():
            continue
        if is_constant(column):
            raise InputError(f"{where}: '{name}' is {column[0]:g} in every row, so that its effect is an intercept. Write 1")
        sd = float(np.std(column))
        if has_intercept and abs(float(np.mean(column))) > _FAR * sd:
            raise InputError(
                f"{where}: '{name}' has mean {np.mean(column):.4g} and sd {sd:.4g}, so that an intercept by group would be "
                f"that at 0, {abs(np.mean(column)) / sd:.0f} sds away. Subtract a number near its mean, such as "
                f"I({name} - {np.mean(column):.0f})"
            )
        scales[place] = sd if has_intercept else np.sqrt(np.mean(column**2))
    return scales


def identifier(name: str, taken: Collection[str]) -> str:
    """A name that Python accepts and nothing else has: `batch:cask` becomes `batch_cask`.

    Args:
        name: Of a column, or of several.
        taken: Names that are in use.
    """
    word = re.sub(r"\W+", "_", name).strip("_") or "group"
    if word[0].isdigit() or keyword.iskeyword(word):
        word = f"group_{word}"
    candidates = (word, *(f"{word}_{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)
