"""Plain numbers and words among a dataset's arguments: part of the program, not of the data."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.model.arguments import ModelFunction

__all__ = ["bind_plain", "bound_values", "is_plain"]


def is_plain(value: Any) -> bool:
    """Whether a value is a number or a word of Python's or NumPy's own, rather than an array."""
    return isinstance(value, (bool, int, float, str, bytes, np.generic))


def bind_plain(function: ModelFunction, example: Mapping[str, Any]) -> tuple[ModelFunction, dict[str, Any]]:
    """The program with the dataset's plain values written into it, and what is left of the dataset.

    A plate's size or an option must be known when the program is traced; another value is another program.

    Args:
        function: The NumPyro program.
        example: Argument name -> array or plain value. Names that the program does not know are left where they are.
    """
    known = inspect.signature(function).parameters
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in example.items()
        if is_plain(value) and name in known
    }
    rest = {name: value for name, value in example.items() if name not in plain}
    return (functools.partial(function, **plain) if plain else function), rest


def bound_values(function: ModelFunction) -> dict[str, Any]:
    """Argument name -> value, for all that is bound by `functools.partial`."""
    bound: dict[str, Any] = {}
    while hasattr(function, "func"):
        bound = {**getattr(function, "keywords", {}), **bound}
        function = function.func  # pyright: ignore[reportFunctionMemberAccess]
    return bound
