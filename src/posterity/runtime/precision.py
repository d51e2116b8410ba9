"""Floats of 32 bits by default, of 64 bits within a block: for what the short ones cannot tell apart."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

__all__ = ["LOST", "is_double", "narrowed", "needs_double", "precision", "precision_of", "real_dtype"]

LOST = 1e-3
"""Most that rounding may move a value of a column, in sds of that column."""


def precision(double: bool) -> AbstractContextManager[Any]:
    """While the block lasts, this thread computes with 64 bits if `double`, else with 32.

    Args:
        double: Whether arrays have 64 bits.
    """
    return jax.enable_x64(double)


def is_double() -> bool:
    """Whether this thread computes with 64 bits just now."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def real_dtype() -> Any:
    """Of floats that this thread computes with just now."""
    return np.float64 if is_double() else np.float32


def precision_of(arrays: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """The precision of a dataset's arrays.

    Args:
        arrays: What `read_arrays` gave.
    """
    return precision(any(np.dtype(array.dtype) in (np.float64, np.int64) for array in arrays.values()))


def narrowed(array: np.ndarray) -> np.ndarray:
    """The array in 32 bits, where it has 64."""
    with np.errstate(over="ignore", under="ignore"):
        return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))


def needs_double(arrays: Iterable[np.ndarray]) -> bool:
    """Whether 32 bits lose what tells rows apart: integers beyond 2^31, columns that vary little around a large number.

    Args:
        arrays: With 64 bits, rows first.
    """
    return any(_loses(array) for array in arrays)


def _loses(array: np.ndarray) -> bool:
    short = narrowed(array)
    if array.dtype.kind != "f":
        return not np.array_equal(short, array)
    if not np.isfinite(short).all():
        return True
    columns = np.reshape(array, (len(array), -1)) if array.ndim else array[None, None]
    error = np.abs(np.reshape(short, columns.shape) - columns).max(axis=0, initial=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        sds = columns.std(axis=0)
    return bool(np.any((error > LOST * sds) & (np.ptp(columns, axis=0) > 0.0)))
