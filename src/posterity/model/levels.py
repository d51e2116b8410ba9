"""Groups named by words: codes inside, names outside."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posterity.model.arrays import plain_array
from posterity.model.bound import is_plain
from posterity.model.model import Model
from posterity.runtime.errors import InputError

__all__ = ["codes_of", "names_of_groups", "text_array", "with_codes"]


def text_array(where: str, value: Any) -> np.ndarray | None:
    """The value as an array of words; None if it is none.

    Args:
        where: Start of an error message.
        value: What the user gave for an argument.

    Raises:
        InputError: It marks cells as missing.
    """
    if value is None or is_plain(value) or callable(value):
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return None
    array = plain_array(where, value)
    if array.dtype.kind == "O" and array.size and all(isinstance(entry, str) for entry in array.ravel()):
        return array.astype(str)
    return array if array.dtype.kind == "U" else None


def with_codes(where: str, dataset: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The dataset with codes in place of words, and for each argument of words the words, in alphabetical order.

    Args:
        where: Start of an error message.
        dataset: Argument name -> array or plain value.
    """
    coded, words = dict(dataset), {}
    for name, value in dataset.items():
        array = text_array(f"{where}: '{name}'", value)
        if array is not None:
            levels, codes = np.unique(array, return_inverse=True)
            coded[name] = np.reshape(codes, array.shape).astype(np.int32)
            words[name] = tuple(map(str, levels))
    return coded, words


def codes_of(array: np.ndarray, levels: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes of words, of which those that are no level yet come after the levels; and these words.

    Args:
        array: Words.
        levels: The words of the codes 0, 1, and so on.
    """
    new = tuple(str(word) for word in np.unique(array) if word not in levels)
    code = {word: i for i, word in enumerate((*levels, *new))}
    codes = np.array([code[word] for word in array.ravel()], np.int32)
    return np.reshape(codes, array.shape), new


def names_of_groups(model: Model, words: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Argument that sets a number of groups -> names of the groups, where they were given as words.

    Args:
        model: Whose arguments.
        words: Argument of words -> the words of its codes.

    Raises:
        InputError: Words stand where no plate of groups is picked from.
    """
    names = {}
    for argument, levels in words.items():
        group = next((group for group in model.groups if argument in group.indices), None)
        if group is None:
            raise InputError(
                f"dataset for '{model.name}': '{argument}' must be a numeric array; words stand for groups only where "
                "they pick from a numpyro.plate whose size is an argument, as in plate('schools', num_schools)"
            )
        if names.setdefault(group.argument, tuple(levels)) != tuple(levels):
            raise InputError(
                f"dataset for '{model.name}': {', '.join(group.indices)} pick from one plate and must have the same "
                "words; give codes instead"
            )
    return names
