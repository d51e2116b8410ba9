"""A program of the user's own read as well as it can be: groups that vary, else sizes written into it, else no rows."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from posterity.model.arguments import ModelFunction, missing_arguments, model_name
from posterity.model.bound import bind_plain, is_plain
from posterity.model.groups import capacity_for, in_each_row
from posterity.model.levels import names_of_groups, with_codes
from posterity.model.model import Model
from posterity.model.read import read_model, read_whole
from posterity.runtime.errors import InputError, RowsError

__all__ = ["read_as_it_serves"]

Found = TypeVar("Found")
Serve = Callable[[Model, Mapping[str, Any]], Found]

MOST_LEFT_OUT = 3
"""Numbers of groups that may be left out of a dataset: every pairing with the codes in it is tried."""


def read_as_it_serves(function: ModelFunction, dataset: Mapping[str, Any], serve: Serve[Found]) -> tuple[Model, Found]:
    """The first reading that serves, and what came of it.

    Plain numbers that set the size of a plate of groups may differ from dataset to dataset; where masking groups would
    change the model, and for all other plain values, they are written into the program. A program without
    exchangeable rows counts each dataset as one observation.

    Args:
        function: A NumPyro program.
        dataset: Argument name -> array or plain value. Numbers of groups may be left out where codes tell them, and
            codes may be words.
        serve: What else must succeed: takes a model, and a dataset of arrays at which to look at it.

    Raises:
        InputError: No reading serves.
    """
    coded, words = with_codes(f"model '{model_name(function)}'", dataset)
    sizes = _group_sizes(function, coded)
    if sizes:
        try:
            model, arrays = _read_with_groups(function, coded, sizes)
            names_of_groups(model, words)
            return model, serve(model, arrays)
        except InputError:
            pass  # it may serve with sizes that do not vary; else what is said then speaks of the user's own numbers
    program, arrays = bind_plain(function, dataset if sizes.keys() <= dataset.keys() else {**dataset, **sizes})
    try:
        model = read_model(program, arrays)
        return model, serve(model, arrays)
    except RowsError as error:
        try:
            model = read_whole(program, arrays, str(error))
        except InputError as other:
            raise RowsError(f"{error}. Nor can a dataset count as one observation: {other}") from None
        return model, serve(model, arrays)


def _read_with_groups(
    function: ModelFunction, dataset: Mapping[str, Any], sizes: Mapping[str, int]
) -> tuple[Model, dict[str, Any]]:
    """The program at capacities for these sizes; and the dataset, with the sizes and what groups have in each row.

    Raises:
        InputError: It cannot be read so.
    """
    program, arrays = bind_plain(function, {name: v for name, v in dataset.items() if name not in sizes})
    arrays = {name: np.asarray(values) for name, values in arrays.items() if values is not None}
    num_rows = max((len(array) for array in arrays.values() if array.ndim), default=1)
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim and len(array) != num_rows}
    capacities = {name: capacity_for(size) for name, size in sizes.items()}
    refused: InputError | None = None
    # One entry per group has an array that is as long as there are groups; of which plate must be tried.
    for sets in itertools.product(*[[s for s, size in sizes.items() if size == own] for own in lengths.values()]):
        of_groups = dict(zip(lengths, sets, strict=True))
        try:
            full = arrays | {name: in_each_row(f"'{name}'", arrays[name], num_rows) for name in of_groups}
            model = read_model(program, full, sizes=capacities, of_groups=of_groups)
        except InputError as error:
            refused = error
            continue
        return model, full | {name: np.full(num_rows, size) for name, size in sizes.items()}
    raise refused or RowsError(f"model '{model_name(function)}': arrays differ in length")


def _group_sizes(function: ModelFunction, dataset: Mapping[str, Any]) -> dict[str, int]:
    """Arguments that set the size of a plate of groups, and the sizes in this dataset; those left out included."""
    for left_out in _left_out(function, dataset):
        full = {**dataset, **left_out}
        numbers = _whole_numbers(full)
        if _can_vary(function, full, numbers):
            return numbers
        found = {name: size for name, size in numbers.items() if _can_vary(function, full, {name: size})}
        if found and left_out.keys() <= found.keys():
            return found
    return {}


def _left_out(function: ModelFunction, dataset: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """The ways in which arguments that were left out may be the numbers of groups that codes stand for."""
    missing = missing_arguments(function, dataset)
    yield {}
    counts = [_count(values) for values in dataset.values()]
    counts = [count for count in counts if count]
    for number in range(1, min(len(missing), len(counts), MOST_LEFT_OUT) + 1):
        for names in itertools.combinations(missing, number):
            for chosen in itertools.permutations(counts, number):
                yield dict(zip(names, chosen, strict=True))


def _count(values: Any) -> int:
    """Number of groups that codes stand for; 0 for what cannot be codes."""
    if values is None or is_plain(values) or not hasattr(values, "__len__"):
        return 0
    array = np.asarray(values)
    is_code = array.dtype.kind in "iu" and array.ndim == 1 and array.size and array.min() >= 0
    return int(array.max()) + 1 if is_code else 0


def _whole_numbers(dataset: Mapping[str, Any]) -> dict[str, int]:
    numbers = {name: v for name, v in dataset.items() if isinstance(v, (int, np.integer)) and not isinstance(v, bool)}
    return {name: int(value) for name, value in numbers.items() if value >= 1}


def _can_vary(function: ModelFunction, dataset: Mapping[str, Any], sizes: Mapping[str, int]) -> bool:
    """Whether the program can be read with sizes that vary, all other plain values written into it."""
    try:
        return bool(sizes) and bool(_read_with_groups(function, dataset, sizes))
    except InputError:
        return False
