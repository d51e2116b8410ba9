"""The cells of one column: numbers, levels, missing. Covariates and targets are read by the same rules."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

__all__ = [
    "as_levels",
    "as_numbers",
    "codes",
    "counted",
    "in_order",
    "is_constant",
    "is_text",
    "label",
    "listed",
    "listed_counts",
    "show",
    "split_cells",
]

MISSING_WORDS = ("", "?", ".", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
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


def as_levels(column: pl.Series, like: pl.Series | None = None) -> pl.Series | None:
    """Cells as levels that sort, missing ones null: integers, numbers or words; None for dates, lists, ...

    Text that holds numbers is read as numbers unless a level would get lost by it: "05" is not 5, and where both "1.1"
    and "1.10" come up, they are two levels.

    Args:
        column: The cells.
        like: Levels of an earlier table: the cells are read as these were.
    """
    if column.dtype.is_integer() and (like is None or like.dtype.is_integer()):
        return column  # not through floats: identifiers beyond 2^53 would fall together
    if column.dtype == pl.Enum and like is None:
        return column  # in the order in which its levels were declared
    if column.dtype == pl.Boolean:
        column = column.cast(pl.String)
    numbers = as_numbers(column)
    if not is_text(column):
        return numbers
    words = _words(column)
    words = words.set(words == "", None)
    if numbers is not None and (_is_faithful(words, numbers) if like is None else like.dtype.is_numeric()):
        return numbers
    return words


def _is_faithful(words: pl.Series, numbers: pl.Series) -> bool:
    """Whether no two spellings are one number, and no number starts with an idle zero."""
    words, numbers = words.filter(numbers.is_not_null()), numbers.drop_nulls()
    return words.n_unique() == numbers.n_unique() and not words.str.contains(r"^[+-]?0\d").any()


def split_cells(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The cells of a text column that are numbers, and those that are not; missing ones are in neither."""
    words = _words(column)
    words = words.filter(~words.str.to_lowercase().is_in(MISSING_WORDS))
    stray = words.cast(pl.Float64, strict=False).is_null()
    return words.filter(~stray), words.filter(stray)


def in_order(levels: pl.Series) -> pl.Series:
    """Distinct levels of a column without missing cells: numbers and words sorted, an Enum's as they were declared."""
    distinct = levels.unique().sort()
    return distinct.cast(pl.String) if distinct.dtype == pl.Enum else distinct


def codes(levels: pl.Series, known: pl.Series) -> pl.Series:
    """Place of every cell among the `known` levels, 0, 1, ...; null where it is none of them.

    Args:
        levels: From `as_levels`.
        known: From `in_order`.
    """
    place = {_spelling(level): code for code, level in enumerate(known)}
    distinct = levels.unique().drop_nulls()
    found = [place.get(_spelling(level)) for level in distinct]
    return levels.replace_strict(distinct, pl.Series(found, dtype=pl.Int64), default=None, return_dtype=pl.Int64)


def is_constant(values: np.ndarray) -> np.ndarray:
    """Whether a column, or each column of a matrix, never varies by more than rounding.

    Z-scoring such a column would divide by zero or blow up rounding errors: 0.1 + 0.2 and 0.3 are one value
    here. The floor keeps the scale representable in float32.
    """
    largest = np.max(np.abs(values), axis=0)
    return np.asarray(np.ptp(values, axis=0) <= np.maximum(1e-12 * largest, 1e-37))


def label(value: object) -> str:
    """One value as a person would write it: 3 for 3.0, without line breaks."""
    text = _spelling(value)
    return text if text.isprintable() else repr(text)[1:-1]


def _spelling(value: object) -> str:
    """What tells one level from another, however it is stored: 3 for 3.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


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
