"""A user's dataset at the door: checked, converted and padded."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from posterity.checks import InputError, did_you_mean
from posterity.dataset import Dataset, bucket_for, bucket_sizes
from posterity.problem.arguments import Argument
from posterity.problem.problem import Problem

__all__ = ["pad_dataset", "plate_sizes", "read_arrays"]


def read_arrays(problem: Problem, dataset: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The dataset's arrays with the dtypes of the problem, rows first.

    Raises:
        InputError: Names, shapes, lengths or values do not fit the model.
    """
    where = f"dataset for '{problem.name}'"
    names = [argument.name for argument in problem.arguments]
    for name in dataset:
        if name not in names:
            raise InputError(f"{where}: unknown array '{name}'; expected {', '.join(names)}.{did_you_mean(name, names)}")
    arrays = {}
    for argument in problem.arguments:
        if dataset.get(argument.name) is None:
            raise InputError(f"{where}: '{argument.name}' is missing; expected {', '.join(names)}")
        arrays[argument.name] = _checked(where, argument, np.asarray(dataset[argument.name]))
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{where}: all arrays need one entry per row; got lengths {lengths}")
    if 0 in lengths.values():
        raise InputError(f"{where}: it has no rows; give at least one")
    return arrays


def plate_sizes(problem: Problem, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Entries of each variable plate that the arrays have.

    Raises:
        InputError: Axes along one plate differ, or it has more entries than the envelope.
    """
    sizes: dict[str, int] = {}
    for plate, group in problem.plate_axes.items():
        found = {arrays[name].shape[axis] for name, axes in group.axes.items() for axis in axes}
        if len(found) > 1:
            raise InputError(f"dataset for '{problem.name}': axes along '{plate}' differ in length: {sorted(found)}")
        sizes[plate] = found.pop()
        if sizes[plate] > problem.capacity[plate]:
            raise InputError(
                f"dataset for '{problem.name}' has {sizes[plate]} {plate}, more than the {problem.capacity[plate]} that the "
                "estimator can take; drop some, or train one with a wider envelope"
            )
    return sizes


def pad_dataset(problem: Problem, dataset: Mapping[str, Any], num_rows: int | None = None) -> Dataset:
    """The dataset padded to the capacity of every plate and to a bucket of rows.

    Args:
        problem: Whose arguments the arrays are.
        dataset: Argument name -> array with rows first.
        num_rows: Padded number of rows; the smallest bucket of the envelope that holds them if None.

    Raises:
        InputError: The arrays do not fit the model; see `read_arrays` and `plate_sizes`.
    """
    arrays = read_arrays(problem, dataset)
    sizes = plate_sizes(problem, arrays)
    length = next(iter(arrays.values())).shape[0]
    padded_rows = num_rows or bucket_for(length, bucket_sizes(*problem.envelope.rows))
    values = {}
    for argument in problem.arguments:
        array = arrays[argument.name]
        missing = [padded_rows - length, *np.subtract(argument.shape, array.shape[1:])]
        values[argument.name] = jnp.asarray(np.pad(array, [(0, int(m)) for m in missing]))
    return Dataset(values, jnp.arange(padded_rows) < length, problem.plate_masks(sizes))


def _checked(where: str, argument: Argument, array: np.ndarray) -> np.ndarray:
    name = argument.name
    if array.dtype.kind not in "fiub":
        raise InputError(f"{where}: '{name}' must be numeric; got dtype {array.dtype}")
    if not np.all(np.isfinite(array)):
        bad = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(f"{where}: '{name}' has missing or infinite values, the first in row {bad}")
    fits = array.ndim == 1 + len(argument.shape) and all(
        plate is not None or have == want
        for plate, have, want in zip(argument.plates, array.shape[1:], argument.shape, strict=True)
    )
    if not fits:
        expected = ", ".join(["rows", *(p or str(s) for p, s in zip(argument.plates, argument.shape, strict=True))])
        raise InputError(f"{where}: '{name}' must have shape ({expected}); got {array.shape}")
    if argument.dtype == "int32" and not np.array_equal(array, np.round(array)):
        raise InputError(f"{where}: '{name}' must hold whole numbers ({argument.kind}); got fractions")
    if argument.kind == "binary" and not np.isin(array, (0, 1)).all():
        raise InputError(f"{where}: '{name}' must hold 0 and 1; got {np.unique(array)[:5].tolist()}")
    if argument.kind == "class" and (array.min(initial=0) < 0 or array.max(initial=0) >= argument.num_classes):
        raise InputError(
            f"{where}: '{name}' must hold class codes 0 to {argument.num_classes - 1}; got {np.unique(array)[:5].tolist()}"
        )
    if argument.kind == "count" and array.min(initial=0) < 0:
        raise InputError(f"{where}: '{name}' must hold counts; got {array.min()}")
    return array.astype(argument.dtype)
