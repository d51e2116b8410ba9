"""Datasets of wanted sizes, made of one: what programs are compiled ahead with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from posterity.model.model import Model
from posterity.runtime.errors import InputError

__all__ = ["datasets_of_sizes"]


def datasets_of_sizes(
    model: Model,
    example: Mapping[str, Any],
    rows: int | Sequence[int] | None,
    padded: Callable[[int], int],
) -> list[dict[str, Any]]:
    """The example with its rows repeated or cut, once for each padded size that is wanted.

    Args:
        model: The model.
        example: Argument name -> array with rows first; what is no argument of the model stays as it is.
        rows: Numbers of rows; those of the example if None.
        padded: Number of rows -> the number that they are padded to.

    Raises:
        InputError: A number of rows is below 1, or rows are given for a model without.
    """
    if rows is None:
        return [dict(example)]
    if model.whole:
        raise InputError(f"warm: '{model.name}' has no rows ({model.whole}); leave `rows` out")
    wanted = [int(n) for n in np.atleast_1d(rows)]
    if not wanted or min(wanted) < 1:
        raise InputError(f"warm: the numbers of rows must be at least 1; got {rows}")
    along = {argument.name for argument in model.arguments}
    return [
        {name: _resized(value, n) if name in along else value for name, value in example.items()}
        for n in {padded(n): n for n in wanted}.values()
    ]


def _resized(values: Any, num_rows: int) -> np.ndarray:
    array = np.asarray(values)
    return array[np.arange(num_rows) % len(array)]
