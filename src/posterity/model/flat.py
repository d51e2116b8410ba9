"""A function as one flat list of primitives, which JAX differentiates, batches and compiles in half the time.

Library functions are traced as calls inside calls, and JAX transforms each call by itself; checks of distributions
leave values that nobody reads.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.extend.core import Jaxpr, Literal
from jax.interpreters import partial_eval

__all__ = ["flattened"]

Result = TypeVar("Result")


def flattened(function: Callable[..., Result], *arguments: Any) -> Callable[..., Result]:
    """The same function, for arguments of these shapes.

    Args:
        function: Takes and returns pytrees of arrays.
        *arguments: Arrays or `jax.ShapeDtypeStruct`.
    """
    structures: list[Any] = []

    def leaves(*arguments: Any) -> list[Any]:
        found, structure = jax.tree.flatten(function(*arguments))
        structures.append(structure)
        return found

    closed = jax.make_jaxpr(leaves)(*arguments)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    return lambda *arguments: jax.tree.unflatten(structures[0], _run(jaxpr, closed.consts, jax.tree.leaves(arguments)))


def _run(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Runs the primitives one by one, those of nested calls as well."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        if equation.primitive.name == "jit":
            inner: Any = equation.params["jaxpr"]
            results = _run(inner.jaxpr, inner.consts, operands)
        else:
            # As JAX runs equations itself; `get_bind_params` gives nested functions the form that `bind` takes.
            results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(dict(equation.params)))
            results = results if equation.primitive.multiple_results else [results]
        values |= zip(equation.outvars, results, strict=True)
    return [read(atom) for atom in jaxpr.outvars]
