"""Columns of a frame -> columns of numbers and levels, and what no model can take of them, refused with the cure."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.cells import (
    as_levels,
    as_numbers,
    counted,
    is_constant,
    is_text,
    label,
    listed,
    listed_counts,
    show,
    split_cells,
)

__all__ = [
    "MAX_LEVELS",
    "complete_rows",
    "covariate_cells",
    "indicator_names",
    "refuse_constant",
    "refuse_infinite",
]

MAX_LEVELS = 50
_MAX_FLOAT32 = float(np.finfo(np.float32).max)


def covariate_cells(frame: pl.DataFrame, levels: Mapping[str, pl.Series | None], source: str) -> list[pl.Series]:
    """Covariates as numbers or, where categorical, as levels; missing cells null.

    Args:
        frame: The covariates alone.
        levels: Categorical column -> its levels in an earlier table; None if this is the first.
        source: The file's name, for messages.

    Raises:
        InputError: A column is neither.
    """
    cells = {c.name: as_levels(c, levels[c.name]) if c.name in levels else as_numbers(c) for c in frame}
    unfit = [name for name, column in cells.items() if column is None]
    if unfit:
        _refuse_non_numeric(frame.select(unfit), source)
    return [column for column in cells.values() if column is not None]


def _refuse_non_numeric(frame: pl.DataFrame, source: str) -> None:
    """Name the non-numeric columns, with an example from the first and the cure that suits it."""
    column = frame.to_series(0)
    cells = split_cells(column)[1] if is_text(column) else column.drop_nulls()
    example = f", for example '{show(cells[0])}'" if len(cells) > 0 else ""
    others = f" (as are {listed(frame.columns[1:])})" if frame.width > 1 else ""
    if not is_text(column):
        cure = f"It holds {column.dtype} values: turn them into numbers, or remove the column."
    elif len(split_cells(column)[0]) > len(cells):
        cure = f"If it stands for a missing cell, give --missing '{show(cells[0])}'; else mend or remove the column."
    elif column.n_unique() <= MAX_LEVELS:
        cure = f"If it names categories, give --categorical {column.name}; else mend or remove it."
    else:
        cure = f"Mend or remove it: its {column.n_unique()} distinct values are too many for --categorical."
    raise InputError(f"{source}: column '{column.name}' is not numeric{others}{example}. {cure}")


def refuse_infinite(table: pl.DataFrame, source: str) -> None:
    """Refuses numbers that are infinite or that 32-bit floats cannot hold.

    Raises:
        InputError: There is one; the message names its column and row.
    """
    for column in table:
        if not column.dtype.is_float():
            continue
        beyond = (column.abs() > _MAX_FLOAT32).fill_null(False)
        if beyond.any():
            row = beyond.arg_max()
            assert row is not None
            what = "infinite" if np.isinf(column[row]) else f"beyond 32-bit floats ({_MAX_FLOAT32:.1e})"
            raise InputError(
                f"{source}: column '{column.name}' holds {counted(int(beyond.sum()), 'value')} {what}, "
                f"the first in data row {row + 1}; expected finite numbers. "
                "Mend them, or empty the cells and give --drop-missing."
            )


def complete_rows(
    table: pl.DataFrame,
    among: np.ndarray | None = None,
    *,
    drop_missing: bool,
    least: int,
    gain: str = "leave these rows out",
    source: str,
) -> np.ndarray:
    """Which rows have all their cells, counted from 0.

    Args:
        table: Missing cells are null.
        among: True for rows that count, shape `(rows,)`; all of them if None.
        drop_missing: Whether there may be others.
        least: How many have to be left.
        gain: What `--drop-missing` would do.
        source: The file's name, for messages.

    Raises:
        InputError: A cell is missing and `drop_missing` is not given, or too few rows are left.
    """
    among = np.ones(table.height, bool) if among is None else among
    complete = table.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    counts = {column.name: column.null_count() for column in table if column.null_count() > 0}
    rows, dropped = np.flatnonzero(among & complete), int((among & ~complete).sum())
    if dropped and not drop_missing:
        raise InputError(
            f"{source}: missing values in {dropped} of {counted(table.height, 'row')}; "
            f"by column: {listed_counts(counts)}. Give --drop-missing to {gain}, or fill the cells in."
        )
    if len(rows) < least:
        after = f" after dropping {counted(dropped, 'row')} with missing values ({listed_counts(counts)})"
        raise InputError(
            f"{source}: has {counted(len(rows), 'row')}{after if dropped else ''}; "
            f"expected at least {least}. {'Remove the columns that miss most, or add' if dropped else 'Add'} rows."
        )
    return rows


def refuse_constant(cells: pl.DataFrame, frame: pl.DataFrame, source: str) -> None:
    """Refuses covariates that do not vary.

    Args:
        cells: Covariates without missing cells; levels where they are categorical.
        frame: The same columns of the whole table.
        source: The file's name, for messages.

    Raises:
        InputError: There is one; the message tells constant columns from those that vary by less than rounding.
    """
    constant = [c.name for c in cells if (is_constant(c.to_numpy()) if c.dtype == pl.Float64 else c.n_unique() == 1)]
    if not constant:
        return
    dropped = frame.height - cells.height
    after = f", after dropping {counted(dropped, 'row')} with missing values" if dropped else ""
    name = constant[0]
    if dropped or frame[name].n_unique() == 1:
        raise InputError(
            f"{source}: constant column {listed(constant)}{after}, {show(cells[name][0])} in every row: "
            "it cannot be z-scored, and its weight cannot be told from the intercept. Remove it."
        )
    raise InputError(
        f"{source}: column {listed(constant)} varies by less than rounding, as from {show(frame[name].min())} to "
        f"{show(frame[name].max())}: it cannot be z-scored. Remove it if it is an identifier; else subtract its "
        "smallest value, or take another unit."
    )


def indicator_names(column: str, levels: pl.Series, source: str) -> list[str]:
    """Names of the 0/1 columns of a categorical column: "COL=level" for each of its sorted levels but the first.

    Raises:
        InputError: There are too many levels.
    """
    if len(levels) > MAX_LEVELS:
        raise InputError(
            f"{source}: --categorical '{column}' has {len(levels)} distinct values; "
            f"at most {MAX_LEVELS} are taken. Merge the rare ones, or remove the column."
        )
    return [f"{column}={label(level)}" for level in levels[1:]]
