"""What the second derivatives of a site's rows have in common, by the form of its log probabilities alone.

Where all rows weigh the same, as with one noise sd, what they add to a precision is one matrix, times a number. Which
of them count is a mask, which no scale changes. Where there are none at all although the log probabilities are not
affine, these are straight between kinks, as a quantile's likelihood is.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from posterity.informed_posterior.read.graph import Equation, Graph, trace_graph
from posterity.runtime.precision import real_dtype

__all__ = ["Entries", "curvatures", "which_count"]

Value = Callable[[dict[int, Array], Array], Array]
ANY_NUMBER = 0.7310586  # at which no formula is likely to vanish


class Entries(enum.IntEnum):
    """What the entries of a value have in common; larger is less."""

    ZERO = 0
    SAME = 1
    ZERO_OR_SAME = 2
    ANY = 3


def _curvature(value: Value, known: dict[int, Array], predictor: Array) -> Array:
    """Second derivatives of log probabilities, each in its own predictor."""
    slopes = jax.grad(lambda eta: jnp.sum(value(known, eta)))
    return jax.jvp(slopes, (predictor,), (jnp.ones_like(predictor),))[1]


def curvatures(value: Value, known: Mapping[int, Array], size: int) -> Entries:
    """What the second derivatives of a site's log probabilities have in common.

    Args:
        value: `(known, predictor) -> log probabilities`.
        known: Everything else that it needs; only shapes count.
        size: Number of log probabilities.
    """
    shapes = {i: jax.ShapeDtypeStruct(jnp.shape(v), jnp.result_type(v)) for i, v in known.items()}
    predictor = jax.ShapeDtypeStruct((size,), real_dtype())
    graph, output = trace_graph(lambda have, eta: _curvature(value, have, eta), shapes, predictor)
    found = {i: Entries.SAME if graph.size(i) == 1 else Entries.ANY for i in graph.inputs}
    for equation in graph.equations:
        found |= dict.fromkeys(equation.results, _entries(graph, equation, found))
    return found[output] if isinstance(output, int) else _of_constant(output)


def which_count(value: Value, known: Mapping[int, Array], predictor: Array) -> Array:
    """1 where a site whose second derivatives are 0 or the same has one, 0 elsewhere: whatever the scales are."""
    fixed = {i: v if jnp.size(v) > 1 else jnp.full_like(v, _some(v)) for i, v in known.items()}
    return (_curvature(value, fixed, jnp.zeros(predictor.shape)) != 0.0).astype(predictor.dtype)


def _some(value: Array) -> Any:
    return ANY_NUMBER if jnp.issubdtype(jnp.result_type(value), jnp.floating) else 1


def _entries(graph: Graph, equation: Equation, found: Mapping[int, Entries]) -> Entries:
    kinds = [found[o] if isinstance(o, int) else _of_constant(o) for o in equation.operands]
    name, worst = equation.name, max(kinds, default=Entries.ANY)
    if name == "select_n":
        return _selected(kinds)
    if name in _KEEPING:
        return kinds[0]
    if name in ("mul", "div") and worst is not Entries.ANY and (name == "mul" or kinds[1] is Entries.SAME):
        return Entries.ZERO if Entries.ZERO in kinds else worst
    if name in _ELEMENTWISE and worst <= Entries.SAME:
        return Entries.SAME
    return Entries.SAME if kinds and all(graph.size(i) == 1 for i in equation.results) else Entries.ANY


def _selected(kinds: Sequence[Entries]) -> Entries:
    """Of a choice between entries of two values."""
    by, *choices = kinds
    if by <= Entries.SAME:
        return max(choices)
    return Entries.ZERO_OR_SAME if Entries.ZERO in choices and max(choices) < Entries.ANY else Entries.ANY


def _of_constant(value: Any) -> Entries:
    entries = np.unique(value)
    return Entries.ANY if entries.size > 1 else Entries.SAME if np.any(entries) else Entries.ZERO


_KEEPING = {
    "neg", "convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy", "copy_p", "square",
    "stop_gradient",
}  # fmt: skip
_ELEMENTWISE = {
    "add", "sub", "add_any", "max", "min", "pow", "integer_pow", "exp", "exp2", "log", "log1p", "expm1", "sqrt",
    "rsqrt", "abs", "sign", "logistic", "tanh", "lgamma", "digamma",
}  # fmt: skip
