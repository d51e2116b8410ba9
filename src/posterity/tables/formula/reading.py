"""The columns that a formula mentions, read off a table: complete rows, as formulaic and the groups take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import as_levels, as_numbers, in_order, is_text, listed, show, split_cells
from posterity.tables.columns import MAX_LEVELS, complete_rows, refuse_infinite
from posterity.tables.formula.design import INTERCEPT, as_pandas, refuse_new_levels
from posterity.tables.formula.factors import factor_cells
from posterity.tables.formula.syntax import names_in

__all__ = ["CompleteRows", "check_names", "read_rows"]


@dataclass(frozen=True, eq=False)
class CompleteRows:
    """The rows of a table that have all cells that a formula needs.

    Attributes:
        table: Columns of expressions, as formulaic takes them.
        levels: Column of words -> its levels in order.
        factors: Column of groups -> its levels, row by row.
        response: Response of every row where it is a column; None where it is an expression, or not asked for.
        rows: Where they stood in the table, counted from 0.
        dropped: Rows that were left out because a cell was missing.
    """

    table: Any
    levels: Mapping[str, pl.Series]
    factors: Mapping[str, pl.Series]
    response: pl.Series | None
    rows: np.ndarray
    dropped: int


def check_names(texts: Sequence[str], columns: Sequence[str], where: str) -> None:
    """Refuses names in expressions that are no columns.

    Args:
        texts: Expressions, and names of columns.
        columns: Those of the table.
        where: Start of the error message.

    Raises:
        InputError: There is one; the message names the nearest column.
    """
    for name in (name for text in texts for name in names_in(text)):
        if name.is_column and name.text == INTERCEPT and name.text in columns:
            raise InputError(
                f"{where}: a column cannot be called '{INTERCEPT}', which is the column of ones. Rename it"
            )
        if name.is_column and name.text not in columns:
            nearest = did_you_mean(name.text, columns)
            raise InputError(f"{where}: no column '{name.text}'. Columns: {listed(columns)}.{nearest}")
        if "." in name.text and not name.is_column and name.text in columns:
            raise InputError(f"{where}: a column with a dot in its name stands in backticks: `{name.text}`")


def read_rows(
    frame: pl.DataFrame,
    covariates: Sequence[str],
    factors: Mapping[str, pl.Series | None],
    response: pl.Series | None,
    *,
    levels: Mapping[str, pl.Series | None],
    among: np.ndarray | None = None,
    drop_missing: bool,
    gain: str = "leave these rows out",
    known_from: str | None = None,
    source: str,
) -> CompleteRows:
    """Complete rows of a table.

    Args:
        frame: The table.
        covariates: Columns that expressions need.
        factors: Column of groups -> its levels in an earlier table; None if this is the first.
        response: Its cells, where it is a column.
        levels: Column of words -> its levels in an earlier table; None, if this is the first, for those to take so.
        among: True for rows that count; all if None.
        drop_missing: Whether rows with missing cells may be there.
        gain: What `--drop-missing` would do.
        known_from: What messages call the earlier table; None if this is the first.
        source: What messages call this table.

    Raises:
        InputError: A column is of another kind, a cell is missing or infinite, a category is new.
    """
    cells = [_covariate_cells(frame[name], levels, known_from is None, source) for name in covariates]
    numbers = pl.DataFrame(cells)
    refuse_infinite(numbers, source)
    groups = {name: factor_cells(frame[name], source, like) for name, like in factors.items()}
    every = {column.name: column for column in cells} | groups
    if response is not None:
        refuse_infinite(response.to_frame(), source)
        every[response.name] = response
    least = 2 if known_from is None else 1
    needed = pl.DataFrame(list(every.values()))
    rows = complete_rows(needed, among, drop_missing=drop_missing, least=least, gain=gain, source=source)
    kept = numbers[rows] if cells else numbers
    if known_from is None:
        learnt = {c.name: in_order(c) for c in kept if c.dtype in (pl.String, pl.Enum) or c.name in levels}
        _check_levels(learnt, source)
    else:
        learnt = {name: known for name, known in levels.items() if known is not None}
        refuse_new_levels(kept, learnt, known_from, source)
    return CompleteRows(
        table=as_pandas(kept, learnt, len(rows)),
        levels=learnt,
        factors={name: column[rows] for name, column in groups.items()},
        response=None if response is None else response[rows],
        rows=rows,
        dropped=(frame.height if among is None else int(among.sum())) - len(rows),
    )


def _covariate_cells(
    column: pl.Series, levels: Mapping[str, pl.Series | None], is_first: bool, source: str
) -> pl.Series:
    """Numbers, whole ones as integers, or levels of words; missing cells null."""
    numbers = None if column.name in levels else as_numbers(column)
    if numbers is not None:
        return numbers.cast(pl.Int64) if column.dtype.is_integer() else numbers
    words = as_levels(column, levels.get(column.name)) if column.name in levels or is_text(column) else None
    if words is None:
        raise InputError(
            f"{source}: column '{column.name}' holds {column.dtype} values, which no formula takes. Turn them into "
            "numbers or text"
        )
    if column.name not in levels and not is_first:
        raise InputError(f"{source}: column '{column.name}' holds words; expected numbers, as the first table has")
    return words


def _check_levels(levels: Mapping[str, pl.Series], source: str) -> None:
    """Each level but the first becomes a column: too many are groups, or numbers with a stray word among them."""
    for name, known in levels.items():
        if len(known) < 2:
            raise InputError(f"{source}: column '{name}' is constant ('{show(known[0])}' in every row). Remove it")
        if len(known) > MAX_LEVELS:
            stray = split_cells(known.cast(pl.String))[1]
            told = (
                f" If '{show(stray[0])}' stands for a missing cell, give --missing '{show(stray[0])}'."
                if len(stray)
                else ""
            )
            raise InputError(
                f"{source}: column '{name}' has {len(known)} levels of words; at most {MAX_LEVELS} are taken as fixed "
                f"effects.{told} Else let effects vary by it: (1 | {name})"
            )
