"""When two Python functions are the same program: the same code, and the same values of all that it refers to.

A model function that is defined again by a notebook's cell is the same as before; one that refers to a global number
which has changed since is another. Only functions of the same module are looked into; those of others, and whatever
else cannot be compared by value, are compared by identity.
"""

import functools
import hashlib
import types
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

__all__ = ["fingerprint"]

PLAIN = (bool, int, str, bytes, complex, type(None))
MOST_DEEP = 20  # containers in containers


def fingerprint(function: Any) -> Hashable:
    """What equal functions have in common; hashable.

    Args:
        function: A function, a method, a `functools.partial` of one, or any other callable.
    """
    return _of(function, getattr(function, "__module__", None), {}, 0)


class _Same:
    """Equal to itself alone, for whatever it holds."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _of(value: Any, module: str | None, seen: dict[int, int], depth: int) -> Hashable:
    """Args: `module` is the one whose functions are looked into; `seen` numbers the functions on the way."""
    if isinstance(value, PLAIN):
        return type(value).__name__, value
    if isinstance(value, float):
        return "float", value.hex()  # NaN is not equal to itself
    if isinstance(value, np.generic | np.ndarray | jax.Array) and not isinstance(value, Tracer):
        return _of_array(value)
    if depth > MOST_DEEP:
        return _Same(value)
    inner = functools.partial(_of, module=module, seen=seen, depth=depth + 1)
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(map(inner, value))
    if isinstance(value, Mapping):
        return type(value).__name__, tuple((inner(key), inner(item)) for key, item in value.items())
    if isinstance(value, functools.partial):
        return "partial", inner(value.func), inner(value.args), inner(dict(sorted(value.keywords.items())))
    if isinstance(value, types.MethodType):
        return "method", inner(value.__func__), _Same(value.__self__), inner(vars(value.__self__))
    if isinstance(value, types.FunctionType) and value.__module__ == module:
        return _of_function(value, inner, seen)
    if callable(value) and type(value).__module__ == module and hasattr(value, "__dict__"):
        return "object", _Same(value), inner(vars(value))
    return _Same(value)


def _of_array(value: Any) -> Hashable:
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype == object:
        return _Same(value)
    return "array", array.shape, str(array.dtype), hashlib.blake2b(array.tobytes()).digest()


def _of_function(function: types.FunctionType, inner: Any, seen: dict[int, int]) -> Hashable:
    if id(function) in seen:  # it calls itself
        return "again", seen[id(function)]
    seen[id(function)] = len(seen)
    cells = tuple(_of_cell(cell, inner) for cell in function.__closure__ or ())
    names = {name for code in _codes(function.__code__) for name in code.co_names if name in function.__globals__}
    globals_ = tuple((name, inner(function.__globals__[name])) for name in sorted(names))
    return "function", function.__code__, inner(function.__defaults__), inner(function.__kwdefaults__), cells, globals_


def _of_cell(cell: Any, inner: Any) -> Hashable:
    try:
        return inner(cell.cell_contents)
    except ValueError:  # empty: not assigned yet
        return "empty"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of all that are defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
