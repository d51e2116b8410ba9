"""Grouping factors: the levels of a column, or the combinations of several, as codes 0, 1, ...

A row belongs to one group, so that one integer says it; a matrix of rows by groups is never made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.cells import as_levels, codes, counted, in_order, label, show

__all__ = ["Grouping", "factor_cells"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of a bar term, as learnt from a table.

    Attributes:
        factors: Columns whose combined levels tell the groups apart.
        known: Levels of each of them, in order.
        places: Number of each combination that occurs, ascending, with the codes of the factors as digits.
    """

    factors: tuple[str, ...]
    known: tuple[pl.Series, ...]
    places: np.ndarray

    @classmethod
    def fit(cls, factors: Sequence[str], cells: Mapping[str, pl.Series], source: str) -> "Grouping":
        """Learns the groups of a table.

        Args:
            factors: Columns.
            cells: Factor -> its cells, none missing; from `factor_cells`.
            source: What messages call the table.

        Raises:
            InputError: There is one group only.
        """
        known = tuple(in_order(cells[name]) for name in factors)
        draft = cls(tuple(factors), known, np.zeros(0, np.int64))
        places = np.unique(draft._places(cells))
        if len(places) < 2:
            raise InputError(
                f"{source}: group '{draft.name}' has {counted(len(places), 'level')}; effects that vary by it need at "
                "least 2. Remove the bar term"
            )
        return cls(draft.factors, known, places)

    @property
    def name(self) -> str:
        """`batch:cask`."""
        return ":".join(self.factors)

    @property
    def labels(self) -> list[str]:
        """Levels as text, in the order of their codes: `A:a`."""
        digits, rest = [], self.places
        for known in reversed(self.known):
            rest, digit = np.divmod(rest, len(known))
            digits.append([label(known[int(place)]) for place in digit])
        return [":".join(parts) for parts in zip(*reversed(digits), strict=True)]

    def codes(self, cells: Mapping[str, pl.Series], source: str) -> np.ndarray:
        """Group of every row, shape `(rows,)`.

        Args:
            cells: Factor -> its cells, none missing.
            source: What messages call the table.

        Raises:
            InputError: A group is new.
        """
        places = self._places(cells)
        found = np.minimum(np.searchsorted(self.places, places), len(self.places) - 1)
        new = np.flatnonzero((places < 0) | (self.places[found] != places))
        if len(new):
            shown = ":".join(show(cells[name][int(new[0])]) for name in self.factors)
            raise InputError(
                f"{source}: group '{self.name}' has the new level '{shown}' ({counted(len(new), 'row')} with new ones "
                "in all). Leave such rows out, or infer from a table that has it"
            )
        return found

    def _places(self, cells: Mapping[str, pl.Series]) -> np.ndarray:
        """Number of each row's combination; -1 where a level is unknown."""
        place = np.zeros(len(cells[self.factors[0]]), np.int64)
        unknown = np.zeros(len(place), bool)
        for name, known in zip(self.factors, self.known, strict=True):
            code = codes(cells[name], known).fill_null(-1).to_numpy()
            unknown |= code < 0
            place = place * len(known) + code
        return np.where(unknown, -1, place)


def factor_cells(column: pl.Series, source: str, like: pl.Series | None = None) -> pl.Series:
    """Levels of a grouping factor, missing cells null.

    Args:
        column: Of the table.
        source: What messages call the table.
        like: Levels of an earlier table.

    Raises:
        InputError: It holds measurements, or what no label can be made of.
    """
    levels = as_levels(column, like)
    where = f"{source}: group '{column.name}'"
    if levels is None:
        raise InputError(f"{where} holds {column.dtype} values; expected labels or whole numbers. Turn them into text.")
    if levels.dtype.is_float() and (levels != levels.round()).any():
        stray = levels.filter(levels != levels.round())[0]
        raise InputError(
            f"{where} holds measurements, such as {show(stray)}; a group is told by labels or whole numbers. Did you "
            "mean it as an effect, (x | group)? Else turn it into text."
        )
    return levels
