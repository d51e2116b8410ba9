"""A table of many datasets: which rows belong together."""

from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import as_numbers, is_text, listed

__all__ = ["members", "owners", "split_groups"]


def split_groups(
    frame: pl.DataFrame,
    group: str,
    *,
    others: Collection[str | None] = (),
    drop_missing: bool = False,
    source: str = "table",
) -> dict[str, np.ndarray]:
    """Rows of every group, counted from 0 and ascending; groups stand in the order in which they come up first.

    A row without a group (an empty cell, NaN; among numbers also "NA" and the like) is in none.

    Args:
        frame: The table.
        group: Column whose values tell the groups apart.
        others: Columns that serve as something else.
        drop_missing: Rows without a group are left out instead of being refused.
        source: The file's name, for messages.

    Raises:
        InputError: There is no such column, it serves as something else, its values are no labels, or some are missing.
    """
    if group not in frame.columns:
        raise InputError(
            f"{source}: --group '{group}': no such column. Columns: {listed(frame.columns)}."
            f"{did_you_mean(group, frame.columns)}"
        )
    if group in others:
        raise InputError(f"{source}: --group '{group}' is the target or a categorical column, too; it can be one only.")
    names = _labels(frame[group], source)
    missing = names.null_count()
    if missing and not drop_missing:
        raise InputError(
            f"{source}: column '{group}' is missing in {missing} of {frame.height} rows, so they belong to no group. "
            "Give --drop-missing to leave these rows out, or fill the cells in."
        )
    if missing == frame.height:
        raise InputError(f"{source}: column '{group}' is missing in every row, so there is no group. Name another one.")
    numbered = pl.DataFrame({"name": names, "row": pl.int_range(frame.height, dtype=pl.Int64, eager=True)})
    found = numbered.drop_nulls("name").group_by("name", maintain_order=True).agg("row")
    ends = found["row"].list.len().cum_sum().to_numpy()
    rows = np.split(found["row"].explode().to_numpy(), ends[:-1])
    return dict(zip(found["name"].to_list(), rows, strict=True))


def _labels(column: pl.Series, source: str) -> pl.Series:
    """The group of every row as text, null where it is missing."""
    dtype = column.dtype
    if not (dtype.is_numeric() or is_text(column) or dtype in (pl.Boolean, pl.Null, pl.Date, pl.Datetime, pl.Time)):
        raise InputError(
            f"{source}: --group '{column.name}' holds {dtype} values; expected text, whole numbers or dates. Turn "
            "them into text."
        )
    if dtype.is_float():
        column = column.fill_nan(None)
    names = column.cast(pl.String)
    numbers = as_numbers(column) if is_text(column) else None
    return names.set(names.str.strip_chars() == "" if numbers is None else numbers.is_null(), None)


def owners(groups: Mapping[str, np.ndarray], num_rows: int) -> np.ndarray:
    """Place in `groups` of the group that every row belongs to, shape `(num_rows,)`; -1 for a row of none."""
    places = np.full(num_rows, -1)
    places[np.concatenate([*groups.values()])] = np.repeat(np.arange(len(groups)), [*map(len, groups.values())])
    return places


def members(groups: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of every group within a dataset, for groups that have any.

    Args:
        groups: From `split_groups`.
        rows: Where the rows of the dataset stood in the table, as `TableData.rows` tells.
    """
    owner = owners(groups, 1 + max(int(rows[-1]), *(int(own[-1]) for own in groups.values())))[rows]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(groups)))  # before the first are the rows of no group
    parts = np.split(order, starts)[1:]
    return {name: part for name, part in zip(groups, parts, strict=True) if len(part) > 0}
