"""Reading the predictors of a model off its own computation graph.

Nobody has to say that a model is a regression, or which link it has. Its log likelihood and log prior are traced, and
every value in them is followed: as long as values depend on the latents in an affine way they are no more than linear
algebra, and where that ends stands the predictor of a row.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from posterity.informed_posterior.read.curvature import Entries, curvatures
from posterity.informed_posterior.read.graph import Dependence, Equation, Graph, trace_graph
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.sites import DataSite
from posterity.model.space import broadcast_mask

__all__ = [
    "NotInformedError",
    "Parts",
    "Reading",
    "SiteTerms",
    "dependence_of",
    "log_probs_of",
    "read_sites",
    "tail_of",
]

Parts = Mapping[str, Array]
"""Latent site -> its unconstrained value."""


class NotInformedError(Exception):
    """The model has no structure that the informed posterior can use; the message says why."""


@dataclasses.dataclass(frozen=True)
class SiteTerms:
    """The log probabilities of one site, as functions of one number each.

    Attributes:
        name: Name of the site.
        is_data: It is observed.
        size: Number of log probabilities.
        active: False where they count nothing.
        predictor: Latents -> the number behind each of them, flat.
        value: `(known, predictor) -> log probabilities`, flat.
        known: Everything else that `value` needs.
        is_quadratic: All of them are quadratic in their numbers, so that those together are quadratic in the latents.
        moves: The predictors depend on the latents that are given.
        inner: Where the given latents enter before the data do, as in group effects that are `sd * raw`: the values of
            which the predictors are affine functions that no given latent multiplies.
        curvatures: What the second derivatives of `value` have in common.
    """

    name: str
    is_data: bool
    size: int
    active: Array
    predictor: Callable[[Parts], Array]
    value: Callable[[dict[int, Array], Array], Array]
    known: dict[int, Array]
    is_quadratic: bool
    moves: bool
    inner: "Inner | None" = None
    curvatures: Entries = Entries.ANY


@dataclasses.dataclass(frozen=True)
class Inner:
    """A stage between latents and predictors.

    Attributes:
        value: Latents -> the stage, flat.
        predictor: The stage -> predictors, flat; affine, with coefficients that the given latents do not change.
    """

    value: Callable[[Parts], Array]
    predictor: Callable[[Array], Array]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A model's sites, given its scale latents: those quadratic in the rest together, the others one by one.

    Rows whose log likelihood is quadratic stand among the others: what they add to the quadratic form is had from their
    predictors at a fraction of the cost.
    """

    quadratic: Callable[[Parts], Array]
    terms: tuple[SiteTerms, ...]


def read_sites(model: Model, rest: Parts, given: Parts, dataset: Dataset) -> Reading:
    """Every site's log probabilities as functions of the latents in `rest`, with those in `given` fixed.

    Args:
        model: The model.
        rest: Latents to follow; only shapes count.
        given: Values of the other latents.
        dataset: Padded dataset.

    Raises:
        NotInformedError: Some site depends on the latents otherwise than through one number per log probability.
    """
    graph, outputs = trace_graph(log_probs_of(model), rest, given, dataset)
    leaves = jax.tree.leaves((rest, given, dataset))
    chosen = graph.inputs[: len(rest)]
    dependence = graph.dependence(chosen)
    inputs = dict(zip(graph.inputs, leaves, strict=True))
    constant_equations = [e for e in graph.equations if dependence[e.results[0]] is Dependence.CONSTANT]
    known = graph.run(constant_equations, {i: v for i, v in inputs.items() if i not in chosen})
    known |= {i: jnp.ones(graph.shapes[i], bool) for i, kind in dependence.items() if kind is Dependence.GUARD}
    names = sorted(rest)  # as JAX orders the keys of a dict

    def run_on(parts: Parts, value: int) -> Array:
        found = graph.run(graph.upstream(value), known | dict(zip(chosen, (parts[n] for n in names), strict=True)))
        return found[value]

    sites = {site.name: site for site in (*model.space.sites, *model.data_sites)}
    moved = graph.dependence(graph.inputs[len(rest) : len(rest) + len(given)])
    groups, easy = [], []

    def quadratic(parts: Parts) -> Array:
        return sum((jnp.sum(run_on(parts, o) if o in dependence else o) for o in easy), jnp.zeros(()))

    for name, output in outputs.items():
        kind = dependence_of(output, dependence)
        is_data = isinstance(sites[name], DataSite)
        found = None if kind <= Dependence.AFFINE else tail_of(graph, output, dependence, known)
        if kind is not Dependence.CURVED and (found is None or not is_data):
            easy.append(output)
            continue
        if found is None:
            raise NotInformedError(
                f"each entry of site '{name}' of '{model.name}' must depend on the latents through one number; it has "
                f"shape {graph.shapes[output]}"
            )
        root, tail = found
        site, is_quadratic, moves = sites[name], kind is Dependence.QUADRATIC, moved[root] > Dependence.GUARD
        known_of_tail = {i: known[i] for e in tail for i in e.inputs() if i in known}
        value, inner = _value(graph, tail, root, output), None
        if is_quadratic and moves:
            inner = _inner(graph, root, dependence, moved, known, run_on)
        groups.append(
            SiteTerms(
                name=name,
                is_data=is_data,
                size=graph.size(output),
                active=model.site_mask(site, graph.shapes[output], dataset),
                predictor=lambda parts, root=root: jnp.ravel(run_on(parts, root)),
                value=value,
                known=known_of_tail,
                is_quadratic=is_quadratic,
                moves=moves,
                inner=inner,
                curvatures=curvatures(value, known_of_tail, graph.size(root)) if is_data else Entries.ANY,
            )
        )
    return Reading(quadratic, tuple(groups))


def _inner(
    graph: Graph,
    root: int,
    dependence: Mapping[int, Dependence],
    moved: Mapping[int, Dependence],
    known: Mapping[int, Array],
    run_on: Callable[..., Array],
) -> Inner | None:
    """The last values before a predictor that given latents multiply; None where those are no fewer than the rows."""
    ends = sorted(_last_moved(graph, root, dependence, moved))
    shapes = [graph.shapes[end] for end in ends]
    if sum(map(math.prod, shapes)) >= graph.size(root):
        return None
    have, kept = {*ends, *known}, []
    for equation in graph.upstream(root):
        if set(equation.inputs()) <= have and not set(equation.results) <= have:
            kept.append(equation)
            have |= set(equation.results)
    splits = list(itertools.accumulate(map(math.prod, shapes)))[:-1]

    def value(parts: Parts) -> Array:
        return jnp.concatenate([jnp.ravel(run_on(parts, end)) for end in ends])

    def predictor(stage: Array) -> Array:
        parts = [jnp.reshape(part, shape) for part, shape in zip(jnp.split(stage, splits), shapes, strict=True)]
        return jnp.ravel(graph.run(kept, {**known, **dict(zip(ends, parts, strict=True))})[root])

    return Inner(value, predictor)


def _last_moved(
    graph: Graph, root: int, dependence: Mapping[int, Dependence], moved: Mapping[int, Dependence]
) -> set[int]:
    """Affine values behind a predictor that come of a product with what moves, or are latents themselves.

    What moves may be added on the way: that changes no coefficient.
    """
    makers = {result: equation for equation in graph.equations for result in equation.results}
    found, seen, waiting = set(), set(), [root]
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        inputs = list(makers[value].inputs()) if value in makers else []
        moving = [i for i in inputs if dependence[i] is not Dependence.AFFINE and moved[i] > Dependence.GUARD]
        if not inputs or (moving and makers[value].name not in _ADDING):
            found.add(value)
        else:
            waiting += [i for i in inputs if dependence[i] is Dependence.AFFINE]
    return found


_ADDING = {"add", "sub", "add_any", "concatenate"}


def dependence_of(output: Any, dependence: Mapping[int, Dependence]) -> Dependence:
    """Of an output, which may be a constant of the trace instead of a number of a value."""
    return dependence.get(output, Dependence.CONSTANT) if isinstance(output, int) else Dependence.CONSTANT


def _value(
    graph: Graph, tail: Sequence[Equation], root: int, output: int
) -> Callable[[dict[int, Array], Array], Array]:
    def value(known: dict[int, Array], predictor: Array) -> Array:
        found = graph.run(tail, known | {root: jnp.reshape(predictor, graph.shapes[root])})
        return jnp.ravel(found[output])

    return value


def log_probs_of(model: Model) -> Callable[[Parts, Parts, Dataset], dict[str, Array]]:
    """The function to trace: unconstrained latents -> log probabilities of every site, entry by entry.

    The log-det of `constrain` is added to its site; sites of other shape than their latents get it in one number.
    """

    def log_probs(rest_parts: Parts, given_parts: Parts, dataset: Dataset) -> dict[str, Array]:
        parts = {**rest_parts, **given_parts}
        latents, log_dets = {}, {}
        for site in model.space.sites:
            part = parts[site.name]
            part = jnp.where(broadcast_mask(site.plates, dataset.plate_masks, jnp.shape(part)), part, 0.0)
            latents[site.name] = site.bijector(part)
            log_det = site.bijector.log_abs_det_jacobian(part, latents[site.name])
            mask = broadcast_mask(site.plates, dataset.plate_masks, jnp.shape(log_det))
            log_dets[site.name] = jnp.where(mask, log_det, 0.0)
        found = model.site_log_probs_at(latents, dataset)
        for name, log_det in log_dets.items():
            same = jnp.shape(log_det) == jnp.shape(found[name])
            found[name] = found[name] + log_det if same else jnp.sum(found[name]) + jnp.sum(log_det)
        return found

    return log_probs


def _frontier(graph: Graph, output: int, dependence: Mapping[int, Dependence]) -> set[int]:
    """Where being affine ends on the way to an output, each value traced back to the first one of its kind.

    Never beyond a value of the output's size: that is the predictor, though it may be larger where it is compared with
    several cutpoints, and smaller before it is spread over rows.
    """
    ends = {
        i
        for equation in graph.upstream(output)
        if dependence[equation.results[0]] >= Dependence.QUADRATIC
        for i in equation.inputs()
        if dependence[i] is Dependence.AFFINE
    }
    makers = {result: equation for equation in graph.equations for result in equation.results}
    return {_first_of_kind(graph, i, makers, dependence, graph.size(output)) for i in ends}


def _first_of_kind(
    graph: Graph, value: int, makers: Mapping[int, Equation], dependence: Mapping[int, Dependence], size: int
) -> int:
    """Steps back over elementwise maps of one affine value with constants, such as `(y - loc) / 2`.

    To a smaller value only where that has a certain size.
    """
    while value in makers:
        moving = [i for i in makers[value].inputs() if dependence[i] is Dependence.AFFINE]
        if len(moving) != 1 or makers[value].name not in _ELEMENTWISE:
            return value
        if graph.size(moving[0]) not in (graph.size(value), size) or graph.size(value) < size:
            return value
        value = moving[0]
    return value


_ELEMENTWISE = {
    "neg", "convert_element_type", "reshape", "broadcast_in_dim", "squeeze", "expand_dims", "copy", "add", "sub", "mul",
    "div", "select_n",
}  # fmt: skip


def tail_of(
    graph: Graph, output: int, dependence: Mapping[int, Dependence], known: Collection[int]
) -> tuple[int, tuple[Equation, ...]] | None:
    """The predictor behind an output, and the equations between them; None unless there is one, of the output's size.

    Args:
        graph: The graph.
        output: Number of log probabilities.
        dependence: Of every value, on the latents that are followed.
        known: Numbers of the values that do not depend on them.
    """
    roots = _frontier(graph, output, dependence)
    if len(roots) != 1:
        return None
    (root,) = roots
    if graph.size(root) != graph.size(output):
        return None
    have, kept = {root, *known}, []
    for equation in graph.upstream(output):
        if not set(equation.results) <= have and set(equation.inputs()) <= have:
            kept.append(equation)
            have |= set(equation.results)
    return (root, tuple(kept)) if output in have else None
