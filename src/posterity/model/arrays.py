"""Any array that users have as a plain NumPy array; cells that it marks as missing are refused, never read.

Containers mark missing cells each in their own way, and `np.asarray` drops the mark: it gives what stands behind a
mask, or an object in place of a number. No other library is imported; each kind is known by what it can do.
"""

from typing import Any

import numpy as np

from posterity.runtime.errors import InputError

__all__ = ["missing_rows", "plain_array"]


def plain_array(where: str, value: Any) -> np.ndarray:
    """The value as a NumPy array; numbers held as objects get a numeric dtype.

    NaN among plain floats is a number like any other here; who needs finite ones says so.

    Args:
        where: Start of the error message.
        value: Array, masked array, list, or a series or frame of Polars, pandas or Arrow.

    Raises:
        InputError: It is no array, or marks cells as missing.
    """
    _refuse(where, missing_rows(value))
    try:
        array = np.asarray(value)
        if array.dtype == object:
            _refuse(where, missing_rows(array))
            numbers = np.asarray(array.tolist())
            array = numbers if numbers.dtype.kind in "fiub" else array
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} is not an array: {error}") from error
    return array


def missing_rows(value: Any) -> np.ndarray:
    """Which rows hold a cell that the container marks as missing, shape `(row,)`.

    Args:
        value: As for `plain_array`; what has no rows counts as one.
    """
    mask = getattr(value, "mask", None)  # of masked arrays; that of a pandas series is a method
    if isinstance(mask, (np.ndarray, np.bool_)):
        return _any_by_row(np.broadcast_to(mask, np.shape(value)))
    if isinstance(value, (list, tuple)):
        return np.array([_holds_missing(entry) for entry in value], bool)
    if hasattr(value, "isna"):  # pandas
        return _any_by_row(np.asarray(value.isna(), bool))
    if hasattr(value, "null_count") and hasattr(value, "is_null"):  # a series of Polars, an array of Arrow
        return np.asarray(value.is_null(), bool)
    if hasattr(value, "null_count") or hasattr(value, "column_names"):  # a frame of Polars, a table of Arrow
        columns = value.get_columns() if hasattr(value, "get_columns") else value.columns
        return np.logical_or.reduce([missing_rows(column) for column in columns])
    if isinstance(value, np.ndarray) and value.dtype == object:
        return _any_by_row(np.array([_holds_missing(entry) for entry in value.ravel()], bool).reshape(value.shape))
    return np.zeros(1, bool)


def _refuse(where: str, missing: np.ndarray) -> None:
    if np.any(missing):
        raise InputError(
            f"{where} has missing values in {np.count_nonzero(missing)} of {missing.size} rows, the first in "
            f"row {np.argmax(missing)}; leave these rows out of every array of the dataset"
        )


def _holds_missing(entry: Any) -> bool:
    """Whether an entry is missing (None, NA, NaT), or a row in which something is."""
    if entry is None:
        return True
    if isinstance(entry, (int, float, str, bytes, np.generic)):
        return False
    if isinstance(entry, (list, tuple)) or hasattr(entry, "__array__"):
        return bool(np.any(missing_rows(entry)))
    same = entry == entry
    return same is False or same is entry  # comparing pandas.NA with anything gives pandas.NA


def _any_by_row(flags: np.ndarray) -> np.ndarray:
    return np.any(np.reshape(flags, (len(flags), -1)), axis=1) if flags.ndim else flags[None]
