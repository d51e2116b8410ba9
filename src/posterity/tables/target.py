"""The target column, by the kind of data that the model's likelihood takes.

| kind | accepts | becomes |
|---|---|---|
| `real` | numbers | float64, as they are |
| `binary` | exactly two distinct values: 0 and 1, or two labels | codes 0 and 1, labels in sorted order |
| `class` | labels, or integer codes 0 .. num_classes - 1 | codes, labels in sorted order |
| `count` | integers from 0 | int64, as they are |

Reading happens in two steps, because rows with missing cells leave in between: `target_cells` makes the cells
comparable (missing ones null), `learn_target` looks at what is left and gives the levels whose codes the model sees.
"""

from collections.abc import Callable

import polars as pl

from posterity.runtime.errors import InputError, lookup
from posterity.tables.cells import (
    as_levels,
    as_numbers,
    counted,
    in_order,
    is_constant,
    is_text,
    listed,
    show,
    split_cells,
)

__all__ = ["TARGET_KINDS", "check_counts", "learn_target", "target_cells"]

_MAX_COUNT = 2**53  # whole numbers that float64 tells apart


def target_cells(column: pl.Series, kind: str, source: str, like: pl.Series | None = None) -> pl.Series:
    """Numbers (kinds `real` and `count`) or sortable levels (`binary` and `class`), missing cells null.

    Args:
        column: Of the table.
        kind: A key of `TARGET_KINDS`.
        source: The file's name, for messages.
        like: Levels of an earlier table.

    Raises:
        InputError: Labels, or stray text among numbers, where numbers are needed; dates and the like.
    """
    lookup("target kind", kind, TARGET_KINDS)
    where = f"{source}: target column '{column.name}'"
    if kind in ("binary", "class"):
        levels = as_levels(column, like)
        if levels is None:
            raise InputError(f"{where} holds {column.dtype} values; expected class labels. Turn it into text.")
        return levels
    if column.dtype == pl.Boolean:
        raise InputError(
            f"{where} holds class labels ('false', 'true'); this model needs {_WANTED[kind]}. "
            "Take a model for a binary target, or write 0 and 1."
        )
    numbers = as_numbers(column)
    if numbers is None:
        raise _no_numbers(column, kind, where)
    return numbers


def _no_numbers(column: pl.Series, kind: str, where: str) -> InputError:
    if not is_text(column):
        return InputError(f"{where} holds {column.dtype} values; expected {_WANTED[kind]}. Turn it into numbers.")
    numbers, stray = split_cells(column)
    if len(numbers) > 0:
        return InputError(
            f"{where} holds {counted(len(stray), 'cell')} of text among its numbers, "
            f"such as '{show(stray[0])}'; "
            f"expected {_WANTED[kind]}. Correct these cells, or leave them empty."
        )
    labels = listed(stray.unique(maintain_order=True))
    return InputError(
        f"{where} holds class labels ({labels}); this model needs {_WANTED[kind]}. "
        "Name another column with --target, or take a model for classes."
    )


def learn_target(column: pl.Series, kind: str, num_classes: int | None, source: str) -> pl.Series | None:
    """Levels that the codes 0, 1, ... of a target stand for; None where its numbers are taken as they are.

    Args:
        column: From `target_cells`, without missing cells.
        kind: A key of `TARGET_KINDS`.
        num_classes: How many classes the model has; None takes as many as there are. Only for kind `class`.
        source: The file's name, for messages.

    Raises:
        InputError: The values do not suit the kind.
    """
    return TARGET_KINDS[kind](column, num_classes, f"{source}: target column '{column.name}'")


def _real(column: pl.Series, _: int | None, where: str) -> None:
    if is_constant(column.to_numpy()):
        raise InputError(
            f"{where} is constant ({show(column[0])} in every row): nothing to explain. "
            "Name another column with --target."
        )


def _binary_levels(column: pl.Series, _: int | None, where: str) -> pl.Series:
    levels = in_order(column)
    if len(levels) != 2:
        raise InputError(
            f"{where} has {counted(len(levels), 'distinct value')} ({listed(levels)}); "
            "expected exactly 2, for a binary model. Name another column with --target, or merge values."
        )
    return levels


def _class_levels(column: pl.Series, num_classes: int | None, where: str) -> pl.Series:
    if column.dtype.is_float() and (column != column.round()).any():
        stray = column.filter(column != column.round())[0]
        raise InputError(f"{where} holds {show(stray)}; expected class labels or integer codes, not measurements.")
    levels = in_order(column)
    if len(levels) < 2:
        raise InputError(
            f"{where} is constant ({listed(levels)} in every row); expected at least 2 classes. "
            "Name another column with --target."
        )
    if num_classes is None:
        return levels
    if len(levels) > num_classes:
        raise InputError(
            f"{where} has {len(levels)} classes ({listed(levels)}); this model takes at most {num_classes}. "
            "Merge classes, or train a model with more."
        )
    # A class that no row of this table has must not shift those after it, where codes or an Enum tell of it.
    if column.dtype.is_numeric() and column.is_between(0, num_classes - 1).all():
        return pl.Series(column.name, range(num_classes))
    if isinstance(column.dtype, pl.Enum) and len(column.dtype.categories) <= num_classes:
        return column.dtype.categories
    return levels


def _counts(column: pl.Series, _: int | None, where: str) -> None:
    check_counts(column, where)


def check_counts(column: pl.Series, where: str) -> None:
    """Refuses numbers that cannot be counts.

    Raises:
        InputError: There is one.
    """
    stray = column.filter((column < 0) | (column != column.round()) | (column > _MAX_COUNT))
    if len(stray) > 0:
        raise InputError(
            f"{where} holds {counted(len(stray), 'value')} that cannot be counts, "
            f"such as {show(stray[0])}; "
            f"expected integers from 0 to {_MAX_COUNT}. Name another column with --target, or mend them."
        )


_WANTED = {"real": "numbers", "count": "counts (0, 1, 2, ...)"}

TARGET_KINDS: dict[str, Callable[[pl.Series, int | None, str], pl.Series | None]] = {
    "binary": _binary_levels,
    "class": _class_levels,
    "count": _counts,
    "real": _real,
}
