"""What varies by group: the columns of a bar term, their scales, and the names that a program gives them."""

import itertools
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posterity.runtime.errors import InputError
from posterity.tables.cells import is_constant
from posterity.tables.formula.design import INTERCEPT, Design
from posterity.tables.formula.factors import Grouping
from posterity.tables.formula.family import FormulaFamily
from posterity.tables.formula.parse import Bar, Formula
from posterity.tables.formula.reading import CompleteRows

__all__ = ["GroupEffects", "learnt_effects"]

RESERVED = (
    *("x", "y", "offset", "trials", "weights", "columns", "classes", "observations"),
    *("b", "eta", "Intercept", "cutpoints", "jax", "jnp", "numpyro", "dist", "model"),
)
"""Names that programs of formulas have already."""

PREFIXES = ("", "num_", "z_", "sd_", "L_", "cor_", "u_")
"""What they put before the name of a group."""

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

    def values(self, matrix: np.ndarray) -> np.ndarray:
        """Its argument, where it takes one: shape `(rows,)` for one column, else `(rows, columns)`.

        Args:
            matrix: Columns of its design, shape `(rows, columns of the design)`.
        """
        chosen = matrix[:, [self.design.columns.index(name) for name in self.columns]] / self.scales
        return chosen[:, 0] if len(self.columns) == 1 else chosen


def learnt_effects(
    formula: Formula, family: FormulaFamily, read: CompleteRows, where: str, source: str
) -> tuple[GroupEffects, ...]:
    """Bar terms of a formula with their groups, scales and names.

    Args:
        formula: The formula.
        family: Of the response.
        read: Rows that it is learnt from.
        where: Start of error messages on the formula.
        source: What messages call the table.

    Raises:
        InputError: A bar term has nothing that varies, or what varies already; a group has one level only.
    """
    taken = [*RESERVED, *family.own]
    groupings: dict[str, tuple[Grouping, str]] = {}
    found: list[GroupEffects] = []
    for bar in formula.bars:
        if bar.group not in groupings:
            index = identifier(bar.group, taken)
            groupings[bar.group] = Grouping.fit(bar.factors, read.factors, source), index
        grouping, index = groupings[bar.group]
        design, matrix = Design.fit(bar.effects, read.table, where)
        _check_bar(bar, design, family, [term for term in found if term.index == index], where)
        scales = dict(zip(design.columns, effect_scales(design, matrix, where), strict=True))
        for columns in [design.columns] if bar.correlated else [(name,) for name in design.columns]:
            is_first = all(term.site != index for term in found)
            site = index if is_first else identifier(f"{index}_{columns[0]}", taken)
            argument = None if columns == (INTERCEPT,) else f"z_{site}"
            divisors = np.array([scales[name] for name in columns])
            found.append(GroupEffects(site, index, argument, design, columns, divisors, grouping))
    return tuple(found)


def _check_bar(bar: Bar, design: Design, family: FormulaFamily, earlier: Sequence[GroupEffects], where: str) -> None:
    """Refuses a bar term without effects, with those of an earlier one, or with correlations between classes."""
    if not design.columns:
        raise InputError(f"{where}: nothing varies in '({bar.effects} | {bar.group})'. Write (1 | {bar.group})")
    again = [name for term in earlier for name in term.columns if name in design.columns]
    if again:
        raise InputError(f"{where}: '{again[0]}' varies by '{bar.group}' twice. Keep one of the two terms")
    if bar.correlated and len(design.columns) > 1 and family.location == "classes":
        raise InputError(
            f"{where}: family '{family.name}' takes effects by group without correlations. Write "
            f"({bar.effects} || {bar.group})"
        )


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
            raise InputError(
                f"{where}: '{name}' is {column[0]:g} in every row, so that its effect is an intercept. Write 1"
            )
        sd = float(np.std(column))
        if has_intercept and abs(float(np.mean(column))) > _FAR * sd:
            raise InputError(
                f"{where}: '{name}' has mean {np.mean(column):.4g} and sd {sd:.4g}, so that an intercept by group "
                f"would be that at 0, {abs(np.mean(column)) / sd:.0f} sds away. Subtract a number near its mean: "
                f"I({name} - {np.mean(column):.0f})"
            )
        scales[place] = sd if has_intercept else np.sqrt(np.mean(column**2))
    return scales


def identifier(name: str, taken: list[str]) -> str:
    """A name that Python accepts, and that no name made of it clashes with any other: `batch:cask` -> `batch_cask`.

    Args:
        name: Of a column, or of several.
        taken: Names that are in use; those that are made of this one are added.
    """
    word = re.sub(r"\W+", "_", name).strip("_") or "group"
    if word[0].isdigit() or keyword.iskeyword(word):
        word = f"group_{word}"
    for number in itertools.count(1):
        made = [f"{prefix}{word}{f'_{number}' if number > 1 else ''}" for prefix in PREFIXES]
        if not set(made) & set(taken):
            taken += made
            return made[0]
    raise AssertionError
