"""The cells of one column: numbers, levels, missing. Covariates and targets are read by the same rules."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

__all__ = [
    "as_levels",
    "as_numbers",
    "counted",
    "encode",
    "is_constant",
    "is_text",
    "label",
    "listed",
    "listed_counts",
    "show",
    "split_cells",
]

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none")
"""Lower-case words that stand for no value in a column of numbers; among labels only the empty cell does."""

MAX_NAMED = 6
"""How many columns or values a message names before it says "and 12 more"."""


def as_numbers(column: pl.Series) -> pl.Series | None:
    """Cells as Float64, missing ones (empty, NaN, "NA") null; None when the column is not one of numbers.

    False and True are 0 and 1. Text counts when every cell is a number, so " 2" and "inf" do. Dates do not.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64).fill_nan(None)
    if not is_text(column) or len(split_cells(column)[1]) > 0:
        return None
    return _words(column).cast(pl.Float64, strict=False).fill_nan(None)


def as_levels(column: pl.Series) -> pl.Series | None:
    """Cells as levels that sort, missing ones null: integers, numbers or words; None for dates, lists, ..."""
    if column.dtype.is_integer():
        return column  # not through floats: identifiers beyond 2^53 would fall together
    if column.dtype == pl.Boolean:
        return column.cast(pl.String)
    numbers = as_numbers(column)
    if numbers is not None or not is_text(column):
        return numbers
    words = _words(column)
    return words.set(words == "", None)


def split_cells(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The cells of a text column that are numbers, and those that are not; missing ones are in neither."""
    words = _words(column)
    words = words.filter(~words.str.to_lowercase().is_in(MISSING_WORDS))
    stray = words.cast(pl.Float64, strict=False).is_null()
    return words.filter(~stray), words.filter(stray)


def encode(levels: pl.Series) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes 0, 1, ... of a column without missing cells, and the label of each code, in sorted order."""
    codes = levels.rank("dense").to_numpy().astype(np.int64) - 1
    return codes, tuple(map(label, levels.unique().sort()))


def is_constant(values: np.ndarray) -> np.ndarray:
    """Whether a column, or each column of a matrix, never varies by more than rounding.

    Z-scoring such a column would divide by zero or blow up rounding errors: 0.1 + 0.2 and 0.3 are one value
    here. The floor keeps the scale representable in float32.
    """
    largest = np.max(np.abs(values), axis=0)
    return np.asarray(np.ptp(values, axis=0) <= np.maximum(1e-12 * largest, 1e-37))


def label(value: object) -> str:
    """One value as a person would write it: 3 for 3.0, without line breaks."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]


def show(value: object) -> str:
    """`label`, cut to 40 characters for a message."""
    text = label(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[object]) -> str:
    """Quoted names in a row, the long tail counted: "'a', 'b' and 12 more"."""
    return _joined([f"'{show(name)}'" for name in names])


def listed_counts(counts: dict[str, int]) -> str:
    """Quoted names with a number each: "'a' (3), 'b' (1)"."""
    return _joined([f"'{show(name)}' ({count})" for name, count in counts.items()])


def _joined(words: Sequence[str]) -> str:
    tail = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return ", ".join(words[:MAX_NAMED]) + tail


def is_text(column: pl.Series) -> bool:
    """Whether the cells are words; dates and numbers are not."""
    return column.dtype in (pl.String, pl.Categorical, pl.Enum)


def _words(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars()
