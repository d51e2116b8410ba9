"""How many groups a dataset has: told by a number, by codes, or by what is known of each group."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.model.arguments import Argument
from posterity.model.arrays import plain_array
from posterity.model.model import Model
from posterity.runtime.errors import InputError

__all__ = ["group_sizes", "groups_needed", "repeats"]


def group_sizes(model: Model, dataset: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, int]:
    """Number of groups of each plate that has its size among the arguments; told by the codes where it is left out.

    Args:
        model: Whose arguments they are.
        dataset: What the user gave: the sizes as plain numbers, or one in each row.
        arrays: The other arguments, rows first, of which only codes and what is known of groups are looked at.

    Raises:
        InputError: A size is no whole number of at least 1, or fewer than the codes say.
    """
    sizes = {}
    for group in model.groups:
        what = f"dataset for '{model.name}': '{group.argument}'"
        needed = max((int(np.max(arrays[name], initial=-1)) + 1 for name in group.indices if name in arrays), default=0)
        lengths = {arrays[name].shape[1] for name in group.arrays if name in arrays}
        value = dataset.get(group.argument)
        given = np.unique(max(lengths, default=needed) if value is None else plain_array(what, value))
        if given.size != 1 or given.dtype.kind not in "iu" or given[0] < 1:
            raise InputError(
                f"{what} must be one whole number of at least 1, the number of {group.plate}; got {given.tolist()}"
            )
        if lengths - {int(given[0])}:
            raise InputError(
                f"{what} is {given[0]}, but {', '.join(group.arrays)} have {sorted(lengths)} entries; give one for "
                f"each of the {group.plate}"
            )
        sizes[group.plate] = int(given[0])
        if needed > sizes[group.plate]:
            raise InputError(
                f"{what} is {sizes[group.plate]}, but '{group.indices[0]}' has codes up to {needed - 1}. Count from 0, "
                "as Python does, or leave the number away: it follows from the codes"
            )
    return sizes


def groups_needed(model: Model, dataset: Mapping[str, Any]) -> dict[str, int]:
    """Number of groups that a dataset has of each plate of groups, before anything else is checked.

    Nothing is said of a dataset that lacks codes: whoever reads its arrays refuses it.

    Args:
        model: Whose arguments they are.
        dataset: What the user gave.

    Raises:
        InputError: As `group_sizes` does, or a number or the codes are no plain array.
    """
    codes = {name for group in model.groups for name in group.indices}
    if not model.groups or any(dataset.get(name) is None for name in codes):
        return {}
    where = f"dataset for '{model.name}'"
    arrays = {}
    for argument in model.arguments:
        if not argument.is_size and dataset.get(argument.name) is not None:
            array = plain_array(f"{where}: '{argument.name}'", dataset[argument.name])
            array = array[None] if repeats(model, argument, array) else array
            if array.ndim == 1 + len(argument.shape) and array.dtype.kind in "fiub":  # else it is refused later
                arrays[argument.name] = array
    arrays = {name: array for name, array in arrays.items() if name not in codes or array.dtype.kind in "iu"}
    return group_sizes(model, dataset, arrays)


def repeats(model: Model, argument: Argument, array: np.ndarray) -> bool:
    """Whether an array has one entry per group, rather than a copy of them in each row."""
    of_groups = {name for group in model.groups for name in group.arrays}
    return argument.name in of_groups and array.ndim == len(argument.shape)
