"""Which axis an index argument picks from, and how long it is: read off the gathers in the program's own graph."""

from collections.abc import Mapping
from typing import Any

import jax
from jax import random
from jax.extend import core
from numpyro import handlers

from posterity.model.arguments import ModelFunction
from posterity.model.improper import StartImproper
from posterity.model.trace import Shapes, is_observed
from posterity.runtime.threads import NUMPYRO

__all__ = ["index_sizes"]

# `select_n` chooses between i and i + n for negative i. Codes that the program shifts (offset[group - 1]) are no longer
# those of the user, and nothing can be said about them.
KEEPS_VALUES = {
    *("broadcast_in_dim", "concatenate", "convert_element_type", "copy", "expand_dims"),
    *("reshape", "select_n", "slice", "squeeze", "transpose"),
}


def index_sizes(model: ModelFunction, shapes: Shapes) -> dict[str, int]:
    """Whole-number argument -> length of the shortest axis that it picks entries from, where it picks any.

    JAX gives NaN, or the nearest entry, for an index beyond the end, and not a word.

    Args:
        model: The NumPyro model.
        shapes: Argument name -> shape and dtype, rows first.
    """
    names = sorted(shapes)

    def log_probs(given: Mapping[str, Any]) -> list[Any]:
        with NUMPYRO, StartImproper():
            trace = handlers.trace(handlers.seed(model, random.key(0))).get_trace(**given)
        return [site["fn"].log_prob(site["value"]) for site in trace.values() if is_observed(site)]

    program: Any = jax.make_jaxpr(log_probs)(dict(shapes)).jaxpr
    found: dict[str, int] = {}
    _follow(program, [frozenset([name]) for name in names], found)
    return found


def _follow(program: Any, given: list[frozenset[str]], found: dict[str, int]) -> list[frozenset[str]]:
    """Follows arguments through a program for as long as their values stay as they are.

    Args:
        program: A graph of JAX.
        given: For each of its inputs, the arguments whose values stand there.
        found: Argument -> length of the axis that it picks from, filled here.

    Returns:
        For each of its outputs, the arguments whose values stand there.
    """
    holds = dict(zip(program.invars, given, strict=True))
    for equation in program.eqns:
        sources = _held(equation.invars, holds)
        results = [frozenset[str]()] * len(equation.outvars)
        if equation.primitive.name == "gather":
            axes = equation.params["dimension_numbers"].start_index_map
            if len(axes) == 1:
                size = equation.invars[0].aval.shape[axes[0]]
                found |= {name: min(size, found.get(name, size)) for name in sources[1]}
            results = [sources[0]]  # an index of an index, as in state[county[house]], is another one
        elif equation.primitive.name in KEEPS_VALUES:
            results = [frozenset().union(*sources)] * len(equation.outvars)
        for inner in _inner_programs(equation):
            if len(inner.invars) == len(equation.invars):
                results = _follow(inner, sources, found)
        holds |= dict(zip(equation.outvars, results, strict=False))
    return _held(program.outvars, holds)


def _held(variables: list[Any], holds: Mapping[Any, frozenset[str]]) -> list[frozenset[str]]:
    """For each variable the arguments whose values it holds; a literal holds none."""
    return [holds.get(v, frozenset()) if isinstance(v, core.Var) else frozenset() for v in variables]


def _inner_programs(equation: Any) -> list[Any]:
    programs = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    return [program for program in programs if isinstance(program, core.Jaxpr)]
