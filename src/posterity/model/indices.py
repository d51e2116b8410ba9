"""Which axis an index argument picks from, and how long it is: read off the gathers in the program's own graph."""

from collections.abc import Mapping
from typing import Any

import jax
from jax import random
from jax.extend import core
from numpyro import handlers

from posterity.model.arguments import ModelFunction
from posterity.model.trace import Shapes, is_observed

__all__ = ["index_sizes"]


def index_sizes(model: ModelFunction, shapes: Shapes) -> dict[str, int]:
    """Whole-number argument -> length of the shortest axis that it picks entries from, where it picks any.

    JAX gives NaN, or the nearest entry, for an index beyond the end, and not a word.

    Args:
        model: The NumPyro model.
        shapes: Argument name -> shape and dtype, rows first.
    """
    names = sorted(shapes)

    def log_probs(given: Mapping[str, Any]) -> list[Any]:
        trace = handlers.trace(handlers.seed(model, random.key(0))).get_trace(**given)
        return [site["fn"].log_prob(site["value"]) for site in trace.values() if is_observed(site)]

    program: Any = jax.make_jaxpr(log_probs)(dict(shapes)).jaxpr
    made_of = {var: frozenset([name]) for var, name in zip(program.invars, names, strict=True)}
    found: dict[str, int] = {}
    _follow(program, made_of, found)
    return found


def _follow(program: Any, made_of: dict[Any, frozenset[str]], found: dict[str, int]) -> None:
    """Follows arguments through a program for as long as they stay whole numbers."""
    for equation in program.eqns:
        sources = [made_of.get(v, frozenset()) if isinstance(v, core.Var) else frozenset() for v in equation.invars]
        if equation.primitive.name == "gather":
            operand, indices = equation.invars[0], sources[1]
            axes = equation.params["dimension_numbers"].start_index_map
            if len(indices) == 1 and len(axes) == 1:
                (name,), size = indices, operand.aval.shape[axes[0]]
                found[name] = min(size, found.get(name, size))
        for inner in _inner_programs(equation):
            if len(inner.invars) == len(equation.invars):
                _follow(inner, dict(zip(inner.invars, sources, strict=True)), found)
        together = frozenset().union(*sources)
        if together:
            for var in equation.outvars:
                if jax.numpy.issubdtype(var.aval.dtype, jax.numpy.integer):
                    made_of[var] = together


def _inner_programs(equation: Any) -> list[Any]:
    programs = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [program for program in programs if isinstance(program, core.Jaxpr)]
