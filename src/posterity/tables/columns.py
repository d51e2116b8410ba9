"""A frame of anything -> the numbers that a model takes: covariates (rows, columns) and a target (rows,)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import (
    as_levels,
    as_numbers,
    counted,
    encode,
    is_constant,
    is_text,
    listed,
    listed_counts,
    show,
    split_cells,
)
from posterity.tables.target import encode_target, read_target

__all__ = ["NumericTable", "covariate_columns", "numeric_table", "refuse_infinite"]

_MAX_LEVELS = 50
_MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class NumericTable:
    """A table ready for a model: finite numbers only, no constant covariate, at least 2 rows."""

    names: tuple[str, ...]
    """Covariates in the file's order; "COL=level" for the indicators of a categorical column."""
    values: np.ndarray
    """Covariates, float64 of shape (rows, columns)."""
    target_name: str | None
    """None when the model has no target."""
    target: np.ndarray | None
    """Shape (rows,): float64 for a real target; int64 for counts and for codes of classes."""
    classes: tuple[str, ...]
    """What the codes 0, 1, ... of a binary or class target mean; empty for other targets."""
    dropped_rows: int
    """Rows left out because a cell was missing."""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Categorical column to the labels of its levels in sorted order; the first has no indicator."""
    rows: np.ndarray = field(default_factory=lambda: np.arange(0))
    """Where its rows stood in the file, counted from 0, shape (rows,)."""


def numeric_table(
    frame: pl.DataFrame,
    *,
    target: str | None,
    target_kind: str | None,
    num_classes: int | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    needs_covariates: bool = True,
    source: str = "data.csv",
) -> NumericTable:
    """Numbers of a table, or one clear error.

    Booleans become 0 and 1. A categorical column becomes one indicator per level but the first (in sorted
    order): all of them together would sum to 1, the intercept's own column, and no data could tell their
    weights apart.

    Args:
        frame: From `read_table`.
        target: The column to explain; every other column is a covariate. None for a model without a target.
        target_kind: "real", "binary", "class" or "count"; None for a model without a target.
        num_classes: For kind "class", how many classes the model has.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell instead of refusing them.
        needs_covariates: Refuse a table of the target alone; False for a model without covariates.
        source: The file's name as the user gave it, for messages.

    Raises:
        InputError: The table cannot serve; the message names the column and the cure.
    """
    _check_names(frame.columns, target, target_kind, categorical, source)
    if needs_covariates:
        _check_covariates(frame.columns, target, source)
    covariates = [name for name in frame.columns if name != target]
    columns = covariate_columns(frame.select(covariates), set(categorical), source)
    if target is not None and target_kind is not None:
        columns.append(read_target(frame[target], target_kind, source))
    table = pl.DataFrame(columns)
    refuse_infinite(table, source)
    complete = _without_missing(table, drop_missing, source)
    rows = np.flatnonzero(table.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy())
    dropped_rows = frame.height - complete.height
    values, classes = None, ()
    if target is not None and target_kind is not None:
        values, classes = encode_target(complete[target], target_kind, num_classes, source)
    names, matrix = _matrix(complete, covariates, set(categorical), dropped_rows, source)
    levels = {name: encode(complete[name])[1] for name in covariates if name in categorical}
    return NumericTable(names, matrix, target, values, classes, dropped_rows, levels, rows)


def _check_names(
    known: Sequence[str],
    target: str | None,
    target_kind: str | None,
    categorical: Collection[str],
    source: str,
) -> None:
    if target is None and target_kind is not None:
        raise InputError(
            f"{source}: this model needs a target of kind '{target_kind}', and no column is named as one. "
            f"Name it with --target; columns: {listed(known)}."
        )
    if target is not None and target_kind is None:
        raise InputError(f"{source}: this model has no target, but '{target}' is named as one. Leave --target out.")
    for flag, name in [("--target", target), *(("--categorical", name) for name in categorical)]:
        if name is not None and name not in known:
            nearest = did_you_mean(name, known)
            raise InputError(f"{source}: {flag} '{name}': no such column. Columns: {listed(known)}.{nearest}")
    if target is not None and target in categorical:
        raise InputError(
            f"{source}: --categorical '{target}' is the target; it takes covariates only. Leave it out: "
            "models for classes read the labels of their target by themselves."
        )


def _check_covariates(known: Sequence[str], target: str | None, source: str) -> None:
    if all(name == target for name in known):
        beside = f" beside the target '{target}'" if known else ""
        raise InputError(f"{source}: no covariate columns{beside}; expected at least 1. Add one.")


def covariate_columns(frame: pl.DataFrame, categorical: set[str], source: str) -> list[pl.Series]:
    """Covariates as numbers or, where categorical, as levels; missing cells null.

    Args:
        frame: The covariates alone.
        categorical: Which of them are categorical.
        source: The file's name, for messages.

    Raises:
        InputError: A column is neither.
    """
    columns = {column.name: as_levels(column) if column.name in categorical else as_numbers(column) for column in frame}
    unfit = [name for name, column in columns.items() if column is None]
    if unfit:
        _refuse_non_numeric(frame.select(unfit), source)
    return [column for column in columns.values() if column is not None]


def _refuse_non_numeric(frame: pl.DataFrame, source: str) -> None:
    """Name the non-numeric columns, with an example from the first and the cure that suits it."""
    column = frame.to_series(0)
    cells = split_cells(column)[1] if is_text(column) else column.drop_nulls()
    example = f", for example '{show(cells[0])}'" if len(cells) > 0 else ""
    others = f" (as are {listed(frame.columns[1:])})" if frame.width > 1 else ""
    if not is_text(column):
        cure = f"It holds {column.dtype} values: turn them into numbers, or remove the column."
    elif column.n_unique() <= _MAX_LEVELS:
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


def _without_missing(table: pl.DataFrame, drop_missing: bool, source: str) -> pl.DataFrame:
    """The rows without a missing cell; at least 2, and all of them unless `drop_missing`."""
    counts = {column.name: column.null_count() for column in table if column.null_count() > 0}
    complete = table.drop_nulls()
    dropped = table.height - complete.height
    if dropped and not drop_missing:
        raise InputError(
            f"{source}: missing values in {dropped} of {counted(table.height, 'row')}; "
            f"by column: {listed_counts(counts)}. "
            "Give --drop-missing to leave these rows out, or fill the cells in."
        )
    if complete.height < 2:
        after = f" after dropping {counted(dropped, 'row')} with missing values ({listed_counts(counts)})"
        raise InputError(
            f"{source}: has {counted(complete.height, 'row')}{after if dropped else ''}; "
            f"expected at least 2. {'Remove the columns that miss most, or add' if dropped else 'Add'} rows."
        )
    return complete


def _matrix(
    complete: pl.DataFrame, covariates: Sequence[str], categorical: set[str], dropped_rows: int, source: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Covariate names and the matrix (rows, columns), indicators in the place of their categorical column."""
    frame, num_rows = complete.select(covariates), complete.height
    _refuse_constant(frame, categorical, dropped_rows, source)
    blocks: dict[str, np.ndarray] = {}
    for column in frame:
        block = _indicators(column, source) if column.name in categorical else {column.name: column.to_numpy()}
        twice = blocks.keys() & block.keys()
        if twice:
            raise InputError(
                f"{source}: duplicate covariates {listed(sorted(twice))} after one-hot encoding. Rename one."
            )
        blocks |= block
    if not blocks:
        return (), np.zeros((num_rows, 0))
    return tuple(blocks), np.stack(list(blocks.values()), axis=1)


def _refuse_constant(frame: pl.DataFrame, categorical: set[str], dropped_rows: int, source: str) -> None:
    constant = [
        column.name
        for column in frame
        if (column.n_unique() == 1 if column.name in categorical else is_constant(column.to_numpy()))
    ]
    if constant:
        dropped = f", after dropping {counted(dropped_rows, 'row')} with missing values"
        raise InputError(
            f"{source}: constant column {listed(constant)}{dropped if dropped_rows else ''}, "
            f"{show(frame[constant[0]][0])} in every row: "
            "it cannot be z-scored, and its weight cannot be told from the intercept. Remove it."
        )


def _indicators(column: pl.Series, source: str) -> dict[str, np.ndarray]:
    """One 0/1 column for each level but the first."""
    codes, labels = encode(column)
    if len(labels) > _MAX_LEVELS:
        raise InputError(
            f"{source}: --categorical '{column.name}' has {len(labels)} distinct values; "
            f"at most {_MAX_LEVELS} are taken. Merge the rare ones, or remove the column."
        )
    return {f"{column.name}={labels[code]}": (codes == code).astype(float) for code in range(1, len(labels))}
