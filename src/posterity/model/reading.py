"""A program of the user's own read as well as it can be: groups that vary, else sizes written into it, else no rows."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from posterity.model.arguments import ModelFunction
from posterity.model.bound import bind_plain, is_plain
from posterity.model.dataset import num_rows_of
from posterity.model.groups import capacity_for
from posterity.model.model import Model
from posterity.model.read import read_model, read_whole
from posterity.runtime.errors import InputError, RowsError

__all__ = ["read_as_it_serves"]

Found = TypeVar("Found")
Serve = Callable[[Model, Mapping[str, Any]], Found]


def read_as_it_serves(function: ModelFunction, dataset: Mapping[str, Any], serve: Serve[Found]) -> tuple[Model, Found]:
    """The first reading that serves, and what came of it.

    Plain numbers that set the size of a plate of groups may differ from dataset to dataset; where masking groups would
    change the model, and for all other plain values, they are written into the program. A program without
    exchangeable rows counts each dataset as one observation.

    Args:
        function: A NumPyro program.
        dataset: Argument name -> array or plain value.
        serve: What else must succeed: takes a model, and a dataset of arrays at which to look at it.

    Raises:
        InputError: No reading serves.
    """
    sizes = _group_sizes(function, dataset)
    if sizes:
        try:
            program, arrays = bind_plain(function, {name: v for name, v in dataset.items() if name not in sizes})
            model = read_model(program, arrays, sizes={name: capacity_for(size) for name, size in sizes.items()})
            rows = num_rows_of({name: np.asarray(values) for name, values in arrays.items() if values is not None})
            return model, serve(model, arrays | {name: np.full(rows, size) for name, size in sizes.items()})
        except InputError:
            pass  # it may serve with sizes that do not vary; else what is said then speaks of the user's own numbers
    program, arrays = bind_plain(function, dataset)
    try:
        model = read_model(program, arrays)
        return model, serve(model, arrays)
    except RowsError as error:
        try:
            model = read_whole(program, arrays, str(error))
        except InputError as other:
            raise RowsError(f"{error}. Nor can a dataset count as one observation: {other}") from None
        return model, serve(model, arrays)


def _group_sizes(function: ModelFunction, dataset: Mapping[str, Any]) -> dict[str, int]:
    """Plain whole numbers that set the size of a plate of groups, each tried by itself with the others written in."""
    whole = {name: int(v) for name, v in dataset.items() if is_plain(v) and isinstance(v, (int, np.integer))}
    candidates = {name: size for name, size in whole.items() if size >= 1 and not isinstance(dataset[name], bool)}
    found = {}
    for name, size in candidates.items():
        try:
            program, arrays = bind_plain(function, {other: v for other, v in dataset.items() if other != name})
            read_model(program, arrays, sizes={name: capacity_for(size)})
        except InputError:
            continue
        found[name] = size
    return found
