"""The target column, by the kind of data that the model's likelihood takes.

| kind | accepts | becomes |
|---|---|---|
| `real` | numbers | float64, as they are |
| `binary` | exactly two distinct values: 0 and 1, or two labels | codes 0 and 1, labels in sorted order |
| `class` | labels, or integer codes 0 .. num_classes - 1 | codes, labels in sorted order |
| `count` | integers from 0 | int64, as they are |

Reading happens in two steps, because rows with missing cells leave in between: `read_target` makes the cells
comparable (missing ones null), `encode_target` turns what is left into numbers.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, lookup
from posterity.tables.cells import (
    as_levels,
    as_numbers,
    counted,
    encode,
    is_constant,
    is_text,
    listed,
    show,
    split_cells,
)

__all__ = ["TARGET_KINDS", "encode_target", "read_target"]

_MAX_COUNT = 2**31 - 1  # JAX counts in int32

Encoded = tuple[np.ndarray, tuple[str, ...]]


def read_target(column: pl.Series, kind: str, source: str) -> pl.Series:
    """Numbers (kinds `real` and `count`) or sortable levels (`binary` and `class`), missing cells null.

    Raises:
        InputError: Labels, or stray text among numbers, where numbers are needed; dates and the like.
    """
    lookup("target kind", kind, TARGET_KINDS)
    where = f"{source}: target column '{column.name}'"
    if kind in ("binary", "class"):
        levels = as_levels(column)
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


def encode_target(column: pl.Series, kind: str, num_classes: int | None, source: str) -> Encoded:
    """Values (rows,) of a target without missing cells, and the labels of its codes (none for numbers).

    Args:
        column: From `read_target`.
        kind: A key of `TARGET_KINDS`.
        num_classes: How many classes the model has; None takes as many as there are. Only for kind `class`.
        source: The file's name, for messages.

    Raises:
        InputError: The values do not suit the kind.
    """
    return TARGET_KINDS[kind](column, num_classes, f"{source}: target column '{column.name}'")


def _encode_real(column: pl.Series, _: int | None, where: str) -> Encoded:
    values = column.to_numpy()
    if is_constant(values):
        raise InputError(
            f"{where} is constant ({show(column[0])} in every row): nothing to explain. "
            "Name another column with --target."
        )
    return values, ()


def _encode_binary(column: pl.Series, _: int | None, where: str) -> Encoded:
    codes, labels = encode(column)
    if len(labels) != 2:
        raise InputError(
            f"{where} has {counted(len(labels), 'distinct value')} ({listed(labels)}); "
            "expected exactly 2, for a binary model. Name another column with --target, or merge values."
        )
    return codes, labels


def _encode_class(column: pl.Series, num_classes: int | None, where: str) -> Encoded:
    if column.dtype.is_float() and (column != column.round()).any():
        stray = column.filter(column != column.round())[0]
        raise InputError(f"{where} holds {show(stray)}; expected class labels or integer codes, not measurements.")
    codes, labels = encode(column)
    if len(labels) < 2:
        raise InputError(
            f"{where} is constant ({listed(labels)} in every row); expected at least 2 classes. "
            "Name another column with --target."
        )
    if num_classes is None:
        return codes, labels
    if len(labels) > num_classes:
        raise InputError(
            f"{where} has {len(labels)} classes ({listed(labels)}); this model takes at most {num_classes}. "
            "Merge classes, or train a model with more."
        )
    if column.dtype.is_numeric() and column.is_between(0, num_classes - 1).all():
        # Codes already: a class that no row of this table has must not shift those after it.
        return column.to_numpy().astype(np.int64), tuple(map(str, range(num_classes)))
    return codes, labels


def _encode_count(column: pl.Series, _: int | None, where: str) -> Encoded:
    stray = column.filter((column < 0) | (column != column.round()) | (column > _MAX_COUNT))
    if len(stray) > 0:
        raise InputError(
            f"{where} holds {counted(len(stray), 'value')} that cannot be counts, "
            f"such as {show(stray[0])}; "
            f"expected integers from 0 to {_MAX_COUNT}. Name another column with --target, or mend them."
        )
    return column.to_numpy().astype(np.int64), ()


_WANTED = {"real": "numbers", "count": "counts (0, 1, 2, ...)"}

TARGET_KINDS: dict[str, Callable[[pl.Series, int | None, str], Encoded]] = {
    "binary": _encode_binary,
    "class": _encode_class,
    "count": _encode_count,
    "real": _encode_real,
}
