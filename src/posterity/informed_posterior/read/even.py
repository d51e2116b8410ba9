"""Whether all rows of a site weigh the same: then what they add to a precision is one matrix, times a number.

Rows of one noise sd do. Which of them count is a mask, which no scale changes.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from posterity.informed_posterior.read.graph import Equation, Graph, trace_graph

__all__ = ["curvature_of", "is_even", "which_count"]

Value = Callable[[dict[int, Array], Array], Array]
ANY_NUMBER = 0.7310586  # at which no formula is likely to vanish


class _Entries(enum.IntEnum):
    """What the entries of a value have in common; larger is less."""

    ZERO = 0
    SAME = 1
    ZERO_OR_SAME = 2
    ANY = 3


def curvature_of(value: Value, known: dict[int, Array], predictor: Array) -> Array:
    """Second derivatives of log probabilities, each in its own predictor."""
    slopes = jax.grad(lambda eta: jnp.sum(value(known, eta)))
    return jax.jvp(slopes, (predictor,), (jnp.ones_like(predictor),))[1]


def is_even(value: Value, known: Mapping[int, Array], size: int) -> bool:
    """Whether the second derivative of a site's log probabilities is one number in all entries, or 0.

    Args:
        value: `(known, predictor) -> log probabilities`, quadratic.
        known: Everything else that it needs; only shapes count.
        size: Number of log probabilities.
    """
    shapes = {i: jax.ShapeDtypeStruct(jnp.shape(v), jnp.result_type(v)) for i, v in known.items()}
    predictor = jax.ShapeDtypeStruct((size,), jnp.float32)
    graph, output = trace_graph(lambda have, eta: curvature_of(value, have, eta), shapes, predictor)
    found = {i: _Entries.SAME if graph.size(i) == 1 else _Entries.ANY for i in graph.inputs}
    for equation in graph.equations:
        found |= dict.fromkeys(equation.results, _entries(graph, equation, found))
    return found.get(output, _Entries.SAME) <= _Entries.ZERO_OR_SAME


def which_count(value: Value, known: Mapping[int, Array], predictor: Array) -> Array:
    """1 where a site that `is_even` has a second derivative, 0 elsewhere: the same whatever the scales are."""
    fixed = {i: v if jnp.size(v) > 1 else jnp.full_like(v, _some(v)) for i, v in known.items()}
    return (curvature_of(value, fixed, jnp.zeros(predictor.shape)) != 0.0).astype(predictor.dtype)


def _some(value: Array) -> Any:
    return ANY_NUMBER if jnp.issubdtype(jnp.result_type(value), jnp.floating) else 1


def _entries(graph: Graph, equation: Equation, found: Mapping[int, _Entries]) -> _Entries:
    kinds = [found[o] if isinstance(o, int) else _of_constant(o) for o in equation.operands]
    name, worst = equation.name, max(kinds, default=_Entries.ANY)
    if name == "select_n":
        return _selected(kinds)
    if name in _KEEPING:
        return kinds[0]
    if name in ("mul", "div") and worst is not _Entries.ANY and (name == "mul" or kinds[1] is _Entries.SAME):
        return _Entries.ZERO if _Entries.ZERO in kinds else worst
    if name in _ELEMENTWISE and worst <= _Entries.SAME:
        return _Entries.SAME
    return _Entries.SAME if kinds and all(graph.size(i) == 1 for i in equation.results) else _Entries.ANY


def _selected(kinds: Sequence[_Entries]) -> _Entries:
    """Of a choice between entries of two values."""
    by, *choices = kinds
    if by <= _Entries.SAME:
        return max(choices)
    return _Entries.ZERO_OR_SAME if _Entries.ZERO in choices and max(choices) < _Entries.ANY else _Entries.ANY


def _of_constant(value: Any) -> _Entries:
    entries = np.unique(value)
    return _Entries.ANY if entries.size > 1 else _Entries.SAME if np.any(entries) else _Entries.ZERO


_KEEPING = {
    "neg", "convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy", "copy_p", "square",
    "stop_gradient",
}  # fmt: skip
_ELEMENTWISE = {
    "add", "sub", "add_any", "max", "min", "pow", "integer_pow", "exp", "exp2", "log", "log1p", "expm1", "sqrt",
    "rsqrt", "abs", "sign", "logistic", "tanh", "lgamma", "digamma",
}  # fmt: skip
