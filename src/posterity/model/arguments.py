"""What a model's arguments are: arrays with rows first, checked before anything is traced."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from posterity.model.arrays import plain_array
from posterity.model.sites import DataKind
from posterity.runtime.errors import InputError, RowsError, did_you_mean
from posterity.runtime.precision import is_double, narrowed, precision

__all__ = [
    "Argument",
    "ModelFunction",
    "argument_arrays",
    "as_dtype",
    "example_arrays",
    "missing_arguments",
    "model_name",
    "optional_arguments",
]

ModelFunction = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Argument:
    """One array argument of the model, at capacity.

    Attributes:
        name: Its name in the signature.
        role: `data` if the model hands it to `obs=`, else `covariate`.
        shape: Shape of one row, with every variable plate at its largest size.
        dtype: `float32`, `int32` or `bool`.
        plates: For each axis of a row, the variable plate that runs along it, or None.
        kind: What the values are; decides how tables are read and how rows enter the network.
        num_classes: Number of classes where `kind` is `class`, else 0.
        is_index: A covariate that picks from an axis, as in `offset[group]`, or that may hold whole numbers only.
        num_entries: Length of the axis that an index picks from; 0 where it cannot be told.
        is_size: A number of groups, the same in every row.
    """

    name: str
    role: Literal["data", "covariate"]
    shape: tuple[int, ...]
    dtype: str
    plates: tuple[str | None, ...]
    kind: DataKind = "real"
    num_classes: int = 0
    is_index: bool = False
    num_entries: int = 0
    is_size: bool = False


def model_name(model: ModelFunction) -> str:
    """Name of the model function, looked up through `functools.partial`."""
    while hasattr(model, "func"):
        model = model.func
    return getattr(model, "__name__", type(model).__name__)


def _required_arguments(model: ModelFunction) -> dict[str, bool]:
    """Argument names in order -> whether the model cannot do without them.

    Raises:
        InputError: The signature has `*args`, `**kwargs` or positional-only arguments.
    """
    parameters = inspect.signature(model).parameters.values()
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InputError(
                f"model '{model_name(model)}': argument '{parameter.name}' is {parameter.kind.description}; "
                "data and covariates are passed by name, so give each its own named argument"
            )
    return {p.name: p.default is p.empty for p in parameters}


def optional_arguments(model: ModelFunction) -> tuple[str, ...]:
    """Arguments whose default is None: data that may be simulated, covariates that may be absent."""
    parameters = inspect.signature(model).parameters.values()
    return tuple(p.name for p in parameters if p.default is None)


def missing_arguments(model: ModelFunction, dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments without a value of their own that a dataset leaves out.

    Args:
        model: The NumPyro model.
        dataset: Argument name -> value, or None.
    """
    parameters = inspect.signature(model).parameters.values()
    without_value = [p.name for p in parameters if p.default is p.empty or p.default is None]
    return tuple(name for name in without_value if dataset.get(name) is None)


def argument_arrays(model: ModelFunction, example: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The example dataset as 32-bit arrays, each in its own shape, in the order of the signature.

    Args:
        model: The NumPyro model.
        example: Argument name -> array. An optional argument may be left out or None.

    Raises:
        InputError: A name is unknown or missing, a value is no numeric array.
    """
    name_of_model = model_name(model)
    where = f"model '{name_of_model}'"
    if hasattr(model, "lower") and hasattr(model, "__wrapped__"):
        raise InputError(f"{where} is compiled by jax.jit, which hides its sites: give the function itself")
    required = _required_arguments(model)
    for name in example:
        if name not in required:
            raise InputError(
                f"{where} has no argument '{name}'; it takes {', '.join(required)}.{did_you_mean(name, required)}"
            )
    arrays: dict[str, np.ndarray] = {}
    for name, is_required in required.items():
        if example.get(name) is not None:
            arrays[name] = _argument_array(name_of_model, name, example[name])
        elif is_required:
            raise InputError(f"{where}: argument '{name}' has no value in the example dataset; give an array")
    if not arrays:
        raise InputError(f"{where}: the example dataset is empty; give an array for each argument")
    return arrays


def example_arrays(model: ModelFunction, example: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The same with a common first axis, that of the rows.

    Raises:
        RowsError: An array has no rows, or they differ in number.
        InputError: As `argument_arrays` does; or there are no rows at all.
    """
    arrays = argument_arrays(model, example)
    name_of_model = model_name(model)
    where = f"model '{name_of_model}'"
    for name, array in arrays.items():
        if array.ndim == 0:
            raise RowsError(
                f"{where}: argument '{name}' is a scalar; data and covariates have rows first. Options are fixed "
                f"beforehand with functools.partial({name_of_model}, {name}=...)"
            )
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise RowsError(
            f"{where}: all arguments must have one entry per row, but {told}; bind an array that has no rows "
            f"with functools.partial({name_of_model}, ...)"
        )
    if 0 in lengths.values():
        raise InputError(f"{where}: the example dataset has no rows; give at least one")
    return arrays


def _argument_array(name_of_model: str, name: str, value: Any) -> np.ndarray:
    where = f"model '{name_of_model}': argument '{name}'"
    if isinstance(value, (str, bytes, bool, int, float)) or callable(value):
        shown = repr(value) if isinstance(value, (str, bytes, bool, int, float)) else "..."
        raise InputError(
            f"{where} is neither data nor covariate but a plain {type(value).__name__}; fix it beforehand: "
            f"functools.partial({name_of_model}, {name}={shown})"
        )
    array = plain_array(where, value)
    if array.dtype.kind not in "fiub":
        raise InputError(
            f"{where} must be a numeric array; got {type(value).__name__} with dtype {array.dtype}. Options are "
            f"fixed beforehand with functools.partial({name_of_model}, {name}=...)"
        )
    dtype = {"f": "float32", "i": "int32", "u": "int32", "b": "bool"}[array.dtype.kind]
    with precision(True):  # values beyond 32 bits are for those who compute with them to judge
        return narrowed(as_dtype(where, array, dtype))


def as_dtype(where: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in one of the three dtypes of arguments, or its wide brother where this thread computes with 64 bits.

    Args:
        where: Start of the error message.
        array: Numeric array, any width.
        dtype: `float32`, `int32` or `bool`.

    Raises:
        InputError: Values are missing, infinite, or too large.
    """
    if is_double():
        dtype = {"float32": "float64", "int32": "int64"}.get(dtype, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(array)
        converted = array.astype(dtype)
        fits = np.isfinite(converted) if dtype.startswith("float") else converted == array
    if not np.all(finite):
        finite = np.atleast_1d(finite)
        rows = np.unique(np.argwhere(~finite)[:, 0])
        raise InputError(
            f"{where} has missing or infinite values in {len(rows)} of {len(finite)} rows, the first in row {rows[0]}; "
            "leave these rows out of every array of the dataset"
        )
    if not np.all(fits):
        array = np.atleast_1d(array)
        index = tuple(np.argwhere(np.atleast_1d(~fits))[0])
        raise InputError(f"{where} holds {array[index]}, which {dtype} cannot hold, in row {int(index[0])}")
    return converted
