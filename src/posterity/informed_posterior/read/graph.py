"""A traced function as a flat list of equations, and how each of its values depends on chosen inputs.

JAX traces a function to equations over primitives. Nested calls are written out, so that a value can be followed
from the inputs to the outputs, and parts of the function can be run on their own.
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, Primitive

__all__ = ["Dependence", "Equation", "Graph", "trace_graph"]

Value = Any


class Dependence(enum.IntEnum):
    """How a value depends on the chosen inputs; larger is less simple."""

    CONSTANT = 0
    GUARD = 1  # asks whether a value is finite, as log densities do of their arguments: taken to be True
    AFFINE = 2
    QUADRATIC = 3
    CURVED = 4


@dataclasses.dataclass(frozen=True)
class Equation:
    """One primitive; operands are numbers of values, or constants of the trace.

    Attributes:
        name: Name of the primitive.
        params: Its parameters.
        primitive: The primitive itself, which runs it.
        operands: Number of a value, or a constant array.
        results: Numbers of the values that it makes.
    """

    name: str
    params: Mapping[str, Any]
    primitive: Primitive
    operands: tuple[Any, ...]
    results: tuple[int, ...]

    def inputs(self) -> Iterable[int]:
        """Numbers of the values that it reads."""
        return (operand for operand in self.operands if isinstance(operand, _Ref))

    def run(self, values: Mapping[int, Value]) -> Sequence[Value]:
        """Its results."""
        operands = [values[operand] if isinstance(operand, _Ref) else operand for operand in self.operands]
        # As JAX runs equations itself; `get_bind_params` gives nested functions the form that `bind` takes.
        found = self.primitive.bind(*operands, **self.primitive.get_bind_params(dict(self.params)))
        return found if self.primitive.multiple_results else [found]


class _Ref(int):
    """Number of a value, to tell it from a constant of the trace."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """Equations in the order in which they run.

    Attributes:
        equations: All of them.
        inputs: Numbers of the inputs' leaves, in order.
        outputs: Number of each output's leaf, or its constant value.
        shapes: Shape of every value.
    """

    equations: tuple[Equation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[Any, ...]
    shapes: Mapping[int, tuple[int, ...]]

    def size(self, value: int) -> int:
        """Number of elements of a value."""
        return math.prod(self.shapes[value])

    def dependence(self, chosen: Collection[int]) -> dict[int, Dependence]:
        """How every value depends on chosen inputs."""
        found: dict[int, Dependence] = {i: Dependence.CONSTANT for i in self.inputs}
        found |= {i: Dependence.AFFINE for i in chosen}
        for equation in self.equations:
            kind = _kind(equation, found)
            found |= dict.fromkeys(equation.results, kind)
        return found

    def upstream(self, value: int) -> tuple[Equation, ...]:
        """Equations that a value needs, in order."""
        wanted, kept = {value}, []
        for equation in reversed(self.equations):
            if wanted & set(equation.results):
                wanted |= set(equation.inputs())
                kept.append(equation)
        return tuple(reversed(kept))

    def run(self, equations: Iterable[Equation], values: dict[int, Value]) -> dict[int, Value]:
        """All values, after these equations; those that are there already are not made again."""
        values = dict(values)
        for equation in equations:
            if not all(result in values for result in equation.results):
                values |= zip(equation.results, equation.run(values), strict=True)
        return values


def trace_graph(function: Callable[..., Any], *arguments: Any) -> tuple[Graph, Any]:
    """The graph of a function at the shapes of its arguments, and the tree of its outputs' numbers.

    Args:
        function: Takes and returns pytrees of arrays.
        *arguments: Arrays or `jax.ShapeDtypeStruct`.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    writer = _Writer()
    inputs = tuple(writer.new(var.aval.shape) for var in closed.jaxpr.invars)
    outputs = writer.write(closed, inputs)
    graph = Graph(tuple(writer.equations), inputs, tuple(outputs), writer.shapes)
    return graph, jax.tree.unflatten(jax.tree.structure(shapes), outputs)


class _Writer:
    """Writes nested jaxprs out into one list; a jaxpr that is called twice gets fresh numbers each time."""

    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.shapes: dict[int, tuple[int, ...]] = {}

    def new(self, shape: tuple[int, ...]) -> _Ref:
        number = _Ref(len(self.shapes))
        self.shapes[number] = tuple(shape)
        return number

    def write(self, closed: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
        jaxpr = closed.jaxpr
        known: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            if not isinstance(atom, Literal):
                return known[atom]
            return np.asarray(atom.val, atom.aval.dtype)  # pyright: ignore[reportAttributeAccessIssue]

        for equation in jaxpr.eqns:
            operands = tuple(read(atom) for atom in equation.invars)
            inner = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit", "closed_call") else None
            if inner is not None:
                results = self.write(inner, operands)
            else:
                results = [self.new(var.aval.shape) for var in equation.outvars]
                self.equations.append(
                    Equation(equation.primitive.name, equation.params, equation.primitive, operands, tuple(results))
                )
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


# What becomes of dependence; the rest is curved unless all operands are constant.
_LINEAR = {
    "neg", "convert_element_type", "reshape", "broadcast_in_dim", "squeeze", "expand_dims", "transpose", "slice", "rev",
    "reduce_sum", "copy", "copy_p", "cumsum", "concatenate", "add", "sub", "add_any", "split", "real", "stop_gradient",
}  # fmt: skip
_BILINEAR = {"mul", "dot_general"}
_LINEAR_IN_FIRST = {"div", "gather", "dynamic_slice", "pad"}
_LINEAR_IN_LAST = {"triangular_solve"}


def _kind(equation: Equation, found: Mapping[int, Dependence]) -> Dependence:
    kinds = [found[o] if isinstance(o, _Ref) else Dependence.CONSTANT for o in equation.operands]
    worst, name = max(kinds, default=Dependence.CONSTANT), equation.name
    if worst is Dependence.CONSTANT:
        return Dependence.CONSTANT
    if _is_guard(equation, kinds):
        return Dependence.GUARD
    if name == "select_n" and kinds[0] <= Dependence.GUARD:
        return max(kinds[1:])
    if worst is Dependence.GUARD or name in _LINEAR:
        return worst
    if name in _LINEAR_IN_FIRST and max(kinds[1:]) is Dependence.CONSTANT:
        return worst
    if name in _LINEAR_IN_LAST and max(kinds[:-1]) is Dependence.CONSTANT:
        return worst
    is_square = name == "square" or (name == "integer_pow" and equation.params["y"] == 2)
    if is_square and worst is Dependence.AFFINE:
        return Dependence.QUADRATIC
    if name in _BILINEAR:
        if min(kinds) is Dependence.CONSTANT:
            return worst
        return Dependence.QUADRATIC if worst is Dependence.AFFINE else Dependence.CURVED
    return Dependence.CURVED


def _is_guard(equation: Equation, kinds: Sequence[Dependence]) -> bool:
    """Whether it asks for finite values, as `x == x` and `x != inf` do, or joins such answers."""
    name, operands = equation.name, equation.operands
    if name in ("and", "or", "not", "convert_element_type", "broadcast_in_dim", "reshape", "reduce_and"):
        return max(kinds) is Dependence.GUARD
    if name == "is_finite" or (name == "eq" and operands[0] is operands[1]):
        return True
    return name == "ne" and not isinstance(operands[1], _Ref) and bool(np.all(np.isinf(operands[1])))
