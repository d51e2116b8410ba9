"""A user's dataset at the door: checked, converted and padded."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from posterity.model.arguments import Argument, ModelFunction, as_dtype
from posterity.model.arrays import plain_array
from posterity.model.bound import bound_values, is_plain
from posterity.model.dataset import Dataset
from posterity.model.group_sizes import group_sizes, repeats
from posterity.model.groups import SizedProgram, in_each_row
from posterity.model.model import Model
from posterity.model.whole import WholeProgram
from posterity.runtime.errors import InputError, did_you_mean

__all__ = [
    "num_rows_in",
    "own_program",
    "pad_arrays",
    "pad_dataset",
    "plate_sizes",
    "read_arrays",
]


def read_arrays(model: Model, dataset: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The dataset's arrays with the dtypes of the model, rows first; each in its own shape where there are no rows.

    Args:
        model: Whose arguments the arrays are.
        dataset: Argument name -> array, list or series with rows first.

    Raises:
        InputError: Names, shapes, lengths or values do not fit the model.
    """
    where = f"dataset for '{model.name}'"
    names = [argument.name for argument in model.arguments]
    bound = bound_values(model.function)
    for name, value in dataset.items():
        if name in bound and name not in names:
            _check_bound(where, name, value, bound[name])
        elif name not in names:
            raise InputError(
                f"{where}: unknown array '{name}'; expected {', '.join(names)}.{did_you_mean(str(name), names)}"
            )
    arrays = {}
    for argument in model.arguments:
        if argument.is_size:
            continue
        if dataset.get(argument.name) is None:
            raise InputError(f"{where}: '{argument.name}' is missing; expected {', '.join(names)}")
        arrays[argument.name] = _checked(where, model, argument, dataset[argument.name])
        if argument.is_index:
            _check_index(f"{where}: '{argument.name}'", argument, arrays[argument.name])
    if model.whole:
        return arrays
    of_groups = {name for group in model.groups for name in group.arrays}
    lengths = {name: array.shape[0] for name, array in arrays.items() if name not in of_groups}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise InputError(f"{where}: all arrays need one entry per row, but {told}")
    if 0 in lengths.values():
        raise InputError(f"{where}: it has no rows; give at least one")
    num_rows = next(iter(lengths.values()))
    sizes = group_sizes(model, dataset, arrays)
    for name in of_groups:
        arrays[name] = in_each_row(f"{where}: '{name}'", arrays[name][0], num_rows)
    return arrays | {group.argument: np.full(num_rows, sizes[group.plate], np.int32) for group in model.groups}


def plate_sizes(model: Model, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Entries of each variable plate that the arrays have.

    Args:
        model: Whose arguments the arrays are.
        arrays: What `read_arrays` gave.

    Raises:
        InputError: Axes along one plate differ, or it has no entries or more than its capacity.
    """
    where = f"dataset for '{model.name}'"
    sizes = {group.plate: int(arrays[group.argument][0]) for group in model.groups}
    for plate, group in model.plate_axes.items():
        found = {arrays[name].shape[axis] for name, axes in group.axes.items() for axis in axes}
        if len(found) > 1:
            raise InputError(f"{where}: axes along '{plate}' differ in length: {sorted(found)}")
        sizes[plate] = found.pop()
        if sizes[plate] == 0:
            raise InputError(f"{where} has no {plate}; give at least one")
    for plate, size in sizes.items():
        if size > model.capacity[plate]:
            raise InputError(
                f"{where} has {size} {plate}, more than the {model.capacity[plate]} that the estimator can "
                "take; drop some, or make one for more"
            )
    return sizes


def num_rows_in(model: Model, arrays: Mapping[str, np.ndarray]) -> int:
    """Rows of a dataset; 1 where it counts as one observation.

    Args:
        model: Whose arguments the arrays are.
        arrays: What `read_arrays` gave.
    """
    return 1 if model.whole else next(iter(arrays.values())).shape[0]


def own_program(model: Model, arrays: Mapping[str, np.ndarray]) -> ModelFunction:
    """The program for one dataset's arrays as they are: without padding, and with its own numbers of groups.

    Args:
        model: The model.
        arrays: What `read_arrays` gave.
    """
    program = model.function
    if isinstance(program, WholeProgram):
        return program.func
    if isinstance(program, SizedProgram):
        sizes = plate_sizes(model, arrays)
        return program.resized({group.argument: sizes[group.plate] for group in model.groups})
    return program


def pad_arrays(model: Model, arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int], num_rows: int) -> Dataset:
    """Checked arrays padded to the capacity of every plate and to a number of rows; NumPy's, ready to be stacked.

    Args:
        model: Whose arguments the arrays are.
        arrays: What `read_arrays` gave.
        sizes: What `plate_sizes` gave.
        num_rows: Padded number of rows, at least those of the arrays.
    """
    length = num_rows_in(model, arrays)
    values = {}
    for argument in model.arguments:
        array = arrays[argument.name][None] if model.whole else arrays[argument.name]
        missing = [num_rows - length, *np.subtract(argument.shape, array.shape[1:])]
        values[argument.name] = np.pad(array, [(0, int(m)) for m in missing])
    masks: dict[str, Any] = {plate: np.arange(capacity) < sizes[plate] for plate, capacity in model.capacity.items()}
    row_mask: Any = np.arange(num_rows) < length
    return Dataset(values, row_mask, masks)


def pad_dataset(model: Model, dataset: Mapping[str, Any], num_rows: int) -> Dataset:
    """The dataset padded to the capacity of every plate and to a number of rows.

    Args:
        model: Whose arguments the arrays are.
        dataset: Argument name -> array with rows first.
        num_rows: Padded number of rows.

    Raises:
        InputError: The arrays do not fit the model, see `read_arrays` and `plate_sizes`; or they have more than
            `num_rows` rows.
    """
    arrays = read_arrays(model, dataset)
    sizes = plate_sizes(model, arrays)
    length = num_rows_in(model, arrays)
    if num_rows < length:
        raise InputError(f"dataset for '{model.name}' has {length} rows and cannot be padded to {num_rows}")
    return jax.device_put(pad_arrays(model, arrays, sizes, num_rows))


def _check_bound(where: str, name: str, value: Any, bound: Any) -> None:
    """A plain value that was written into the program must be given as it is there, if at all."""
    if value is not None and not (is_plain(value) and value == bound):
        raise InputError(
            f"{where}: '{name}' is {bound!r} in the model as it was read; got {value!r}. Another value is another "
            "model: infer from it, or make an estimator like it"
        )


def _checked(where: str, model: Model, argument: Argument, value: Any) -> np.ndarray:
    what = f"{where}: '{argument.name}'"
    array = plain_array(what, value)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what} must be numeric; got dtype {array.dtype}")
    array = array[None] if repeats(model, argument, array) else array
    if model.whole:
        _check_same_shape(what, argument, array)
    else:
        _check_shape(what, argument, array)
    if argument.dtype == "int32" and np.all(np.isfinite(array)):
        _check_whole(what, argument, array)
    return as_dtype(what, array, argument.dtype)


def _check_shape(what: str, argument: Argument, array: np.ndarray) -> None:
    fits = array.ndim == 1 + len(argument.shape) and all(
        plate is not None or have == want
        for plate, have, want in zip(argument.plates, array.shape[1:], argument.shape, strict=True)
    )
    if not fits:
        axes = [plate or str(size) for plate, size in zip(argument.plates, argument.shape, strict=True)]
        raise InputError(f"{what} must have shape ({', '.join(['rows', *axes])}); got {array.shape}")


def _check_same_shape(what: str, argument: Argument, array: np.ndarray) -> None:
    if array.shape != argument.shape:
        raise InputError(
            f"{what} must have shape {argument.shape}, as in the dataset that the model was read from: it counts as "
            f"one observation; got {array.shape}. Infer from it by itself, or make an estimator like it"
        )


def _check_index(what: str, argument: Argument, array: np.ndarray) -> None:
    """Indices that the axis has: for one beyond its end, JAX would give NaN or the nearest entry."""
    outside = (array < 0) | (array >= argument.num_entries if argument.num_entries else False)
    if not np.any(outside):
        return
    array, outside = np.atleast_1d(array), np.atleast_1d(outside)
    index = tuple(np.argwhere(outside)[0])
    most = f"0 to {argument.num_entries - 1}" if argument.num_entries else "0 on"
    from_one = argument.num_entries and array.min() == 1 and array.max() == argument.num_entries
    cure = " Codes seem to start at 1: subtract 1." if from_one else " Count from 0, as Python does."
    raise InputError(
        f"{what} has index {array[index]} in row {int(index[0])}, but the axis that it picks from has {most}.{cure}"
    )


def _check_whole(what: str, argument: Argument, array: np.ndarray) -> None:
    """Whole numbers that the argument's kind allows."""
    if not np.array_equal(array, np.round(array)):
        told = "" if argument.kind == "real" else f" ({argument.kind})"
        raise InputError(f"{what} must hold whole numbers{told}; got fractions")
    seen = np.unique(array)
    if argument.kind == "binary" and not np.isin(seen, (0, 1)).all():
        raise InputError(f"{what} must hold 0 and 1; got {seen[:5].tolist()}")
    if argument.kind == "class" and not np.isin(seen, range(argument.num_classes)).all():
        raise InputError(f"{what} must hold class codes 0 to {argument.num_classes - 1}; got {seen[:5].tolist()}")
    if argument.kind == "count" and np.any(seen < 0):
        raise InputError(f"{what} must hold counts; got {seen[0]}")
