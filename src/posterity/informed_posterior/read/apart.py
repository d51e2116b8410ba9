"""Whether terms keep to their own predictors, read off the form of the computation.

Where every step from the predictors to the log probabilities acts on each entry by itself, nothing has to be tried with
numbers; where some step does not, numbers must tell.
"""

import jax
from jax.extend.core import jaxpr_as_fun

from posterity.informed_posterior.read.graph import Equation, Graph, trace_graph
from posterity.informed_posterior.read.predictors import read_sites
from posterity.informed_posterior.read.structure import Probe, Structure
from posterity.model.model import Model

__all__ = ["terms_are_apart"]


def terms_are_apart(model: Model, structure: Structure, probe: Probe) -> bool:
    """Whether no term can depend on another one's predictor; False where the form alone does not tell.

    Args:
        model: The model.
        structure: What was read off it.
        probe: A few rows, and latents; only their shapes count.
    """
    found: list[bool] = []

    def read() -> None:
        dataset, z = probe
        parts = {site.name: model.space.part(z, site.name) for site in model.space.sites}
        given = {name: part for name, part in parts.items() if name in structure.scale_sites}
        rest = {name: part for name, part in parts.items() if name not in structure.scale_sites}
        for term in read_sites(model, rest, given, dataset).terms:
            predictor = jax.ShapeDtypeStruct((term.size,), z.dtype)
            graph, _ = trace_graph(term.value, term.known, predictor)
            found.append(_acts_on_entries(graph, {graph.inputs[-1]}))

    jax.eval_shape(read)
    return all(found)


def _acts_on_entries(graph: Graph, moving: set[int]) -> bool:
    """Whether entry i of all that follows from some values of one size depends on entry i of those values alone."""
    moving = set(moving)
    for equation in graph.equations:
        touched = [value for value in equation.inputs() if value in moving]
        if touched:
            shapes = {graph.shapes[value] for value in (*touched, *equation.results)}
            sizes = {graph.size(value) for value in (*touched, *equation.results)}
            same_order = equation.name in _KEEP_ORDER and len(sizes) == 1
            by_entry = len(shapes) == 1 and (equation.name in _BY_ENTRY or _calls_by_entry(equation, moving))
            if not (same_order or by_entry):
                return False
            moving |= set(equation.results)
    return True


def _calls_by_entry(equation: Equation, moving: set[int]) -> bool:
    """Whether it calls a function with derivatives of its own, as `softplus` is one, that acts on entries."""
    called = equation.params.get("call_jaxpr")
    if called is None:
        return False
    graph, _ = trace_graph(jaxpr_as_fun(called), *[jax.ShapeDtypeStruct(a.shape, a.dtype) for a in called.in_avals])
    moved = {
        into
        for into, operand in zip(graph.inputs, equation.operands, strict=True)
        if operand in equation.inputs() and operand in moving
    }
    return _acts_on_entries(graph, moved)


_KEEP_ORDER = {"broadcast_in_dim", "expand_dims", "reshape", "squeeze"}
_BY_ENTRY = {
    "abs", "add", "add_any", "and", "atan2", "ceil", "clamp", "convert_element_type", "copy", "cos", "cosh",
    "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow",
    "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "not", "or",
    "pow", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan",
    "tanh", "xor",
}  # fmt: skip
