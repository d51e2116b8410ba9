"""Reading the predictors and the scale latents of a model off its own computation graph.

Nobody has to say that a model is a regression, or which link it has. Its log likelihood and log prior are traced, and
every value in them is followed: as long as values depend on the latents in an affine way they are no more than linear
algebra, and where that ends stands the predictor of a row.

A latent that enters otherwise than through one number per row (a noise sd, a dispersion, the spread of group
effects) is a scale latent: with its value given, the rest is read once more.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from posterity.dataset import Dataset
from posterity.informed.graph import Dependence, Equation, Graph, trace_graph
from posterity.informed.terms import Terms
from posterity.problem import Problem
from posterity.problem.inspection import DataSite
from posterity.problem.space import broadcast_mask

__all__ = ["MAX_SCALES", "NotInformedError", "Structure", "conditional_terms", "read_structure"]

MAX_SCALES = 1
Parts = Mapping[str, Array]


class NotInformedError(Exception):
    """The model has no structure that the informed posterior can use; the message says why."""


@dataclasses.dataclass(frozen=True)
class Structure:
    """What was read off a model.

    Attributes:
        scale_sites: Latent sites that are given before the rest is read.
        is_gaussian: Given those, the posterior of the rest is exactly Gaussian.
    """

    scale_sites: tuple[str, ...]
    is_gaussian: bool


def read_structure(problem: Problem, scale_sites: Collection[str] | None = None) -> Structure:
    """Finds a model's scale latents, and checks that the rest has one predictor per row.

    Args:
        problem: The model.
        scale_sites: Latent sites to take as scales; found if None.

    Raises:
        NotInformedError: The model has another structure.
    """
    found: list[Structure] = []

    def read() -> None:
        found.append(_structure(problem, *_example(problem), scale_sites))

    jax.eval_shape(read)  # shapes are all that is needed
    return found[0]


def _structure(problem: Problem, parts: Parts, dataset: Dataset, scale_sites: Collection[str] | None) -> Structure:
    scales = _find_scales(problem, parts, dataset) if scale_sites is None else tuple(scale_sites)
    num_scales = sum(problem.space.site_size(name) for name in scales)
    if num_scales > MAX_SCALES:
        names = ", ".join(f"'{name}'" for name in scales)
        raise NotInformedError(
            f"{num_scales} latents ({names}) enter '{problem.name}' otherwise than through the rows' predictors; the "
            f"informed posterior can condition on {MAX_SCALES}"
        )
    rest = {name: part for name, part in parts.items() if name not in scales}
    if not rest:
        raise NotInformedError(f"'{problem.name}' has no latents but {', '.join(scales)}")
    fixed = {name: part for name, part in parts.items() if name in scales}
    return Structure(scales, not _read(problem, rest, fixed, dataset).groups)


def conditional_terms(problem: Problem, structure: Structure, z: Float[Array, " latent"], dataset: Dataset) -> Terms:
    """One dataset's terms, given its scale latents.

    Args:
        problem: The model.
        structure: What was read off it.
        z: Unconstrained latents, of which only the scale latents are used.
        dataset: Padded dataset.

    Returns:
        Terms over the whole of `z`, in which the scale latents are masked.
    """
    space = problem.space
    given = {name: space.part(z, name) for name in structure.scale_sites}
    rest_sites = [site.name for site in space.sites if site.name not in structure.scale_sites]
    zeros = {name: jnp.zeros_like(space.part(z, name)) for name in rest_sites}
    reading = _read(problem, zeros, given, dataset)
    roots = reading.groups
    is_scale = jnp.concatenate(
        [jnp.full(space.site_size(site.name), site.name in structure.scale_sites) for site in space.sites]
    )
    mask = space.mask(dataset.plate_masks) & ~is_scale

    def parts_of(v: Float[Array, " latent"]) -> dict[str, Array]:
        v = jnp.where(mask, v, 0.0)
        return {name: space.part(v, name) for name in rest_sites}

    origin = jnp.zeros(space.size)
    constant, linear = jax.value_and_grad(lambda v: reading.quadratic(parts_of(v)))(origin)
    precision = -jax.hessian(lambda v: reading.quadratic(parts_of(v)))(origin)

    def predictor(v: Float[Array, " latent"]) -> Float[Array, " term"]:
        parts = parts_of(v)
        return jnp.concatenate([jnp.zeros(0), *[group.predictor(parts) for group in roots]])

    actives = [jnp.ravel(group.active) for group in roots]
    is_prior = [jnp.full(group.size, not group.is_data) for group in roots]
    ends = tuple(itertools.accumulate(group.size for group in roots))[:-1]
    none = jnp.zeros(0, bool)
    return Terms(
        design=jax.jacfwd(predictor)(origin),
        offset=predictor(origin),
        active=jnp.concatenate([none, *actives]),
        is_prior=jnp.concatenate([none, *is_prior]),
        log_density=Partial(_join([group.value for group in roots], ends), [group.known for group in roots]),
        precision=precision + jnp.diag(jnp.where(mask, 0.0, 1.0)),
        linear=linear,
        constant=constant,
        mask=mask,
    )


@dataclasses.dataclass(frozen=True)
class _Group:
    """The log probabilities of one site, as functions of one number each.

    Attributes:
        name: Name of the site.
        is_data: It is observed.
        size: Number of log probabilities.
        active: False where they count nothing.
        predictor: Latents -> the number behind each of them, flat.
        value: `(known, predictor) -> log probabilities`, flat.
        known: Everything else that `value` needs.
    """

    name: str
    is_data: bool
    size: int
    active: Array
    predictor: Callable[[Parts], Array]
    value: Callable[[dict[int, Array], Array], Array]
    known: dict[int, Array]


@dataclasses.dataclass(frozen=True)
class _Reading:
    """A model's sites, given its scale latents: those quadratic in the rest together, the others one by one."""

    quadratic: Callable[[Parts], Array]
    groups: tuple[_Group, ...]


def _read(problem: Problem, rest: Parts, given: Parts, dataset: Dataset) -> _Reading:
    graph, outputs = trace_graph(_log_probs_of(problem), rest, given, dataset)
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

    easy = [o for o in outputs.values() if _dependence_of(o, dependence) <= Dependence.QUADRATIC]

    def quadratic(parts: Parts) -> Array:
        return sum((jnp.sum(run_on(parts, o) if o in dependence else o) for o in easy), jnp.zeros(()))

    sites = {site.name: site for site in (*problem.space.sites, *problem.data_sites)}
    groups = []
    for name, output in outputs.items():
        if _dependence_of(output, dependence) is not Dependence.CURVED:
            continue
        root = _root(problem, name, graph, output, dependence)
        tail = _downstream(graph, root, output, known)
        site = sites[name]
        groups.append(
            _Group(
                name=name,
                is_data=isinstance(site, DataSite),
                size=graph.size(output),
                active=problem.site_mask(site, graph.shapes[output], dataset),
                predictor=lambda parts, root=root: jnp.ravel(run_on(parts, root)),
                value=_value(graph, tail, root, output),
                known={i: known[i] for e in tail for i in e.inputs() if i in known},
            )
        )
    return _Reading(quadratic, tuple(groups))


def _dependence_of(output: Any, dependence: Mapping[int, Dependence]) -> Dependence:
    return dependence.get(output, Dependence.CONSTANT) if isinstance(output, int) else Dependence.CONSTANT


def _value(
    graph: Graph, tail: Sequence[Equation], root: int, output: int
) -> Callable[[dict[int, Array], Array], Array]:
    def value(known: dict[int, Array], predictor: Array) -> Array:
        found = graph.run(tail, known | {root: jnp.reshape(predictor, graph.shapes[root])})
        return jnp.ravel(found[output])

    return value


def _join(values: Sequence[Callable[..., Array]], ends: tuple[int, ...]) -> Callable[..., Array]:
    def log_density(known: Sequence[dict[int, Array]], predictor: Float[Array, " term"]) -> Float[Array, " term"]:
        parts = jnp.split(predictor, ends)
        return jnp.concatenate(
            [jnp.zeros(0), *[value(have, part) for value, have, part in zip(values, known, parts, strict=False)]]
        )

    return log_density


def _log_probs_of(problem: Problem) -> Callable[[Parts, Parts, Dataset], dict[str, Array]]:
    """The function that is traced: unconstrained latents -> log probabilities of every site, entry by entry.

    The log-det of `constrain` is added to its site; sites of other shape than their latents get it in one number.
    """

    def log_probs(rest_parts: Parts, given_parts: Parts, dataset: Dataset) -> dict[str, Array]:
        parts = {**rest_parts, **given_parts}
        latents, log_dets = {}, {}
        for site in problem.space.sites:
            part = parts[site.name]
            part = jnp.where(broadcast_mask(site.plates, dataset.plate_masks, jnp.shape(part)), part, 0.0)
            latents[site.name] = site.bijector(part)
            log_det = site.bijector.log_abs_det_jacobian(part, latents[site.name])
            mask = broadcast_mask(site.plates, dataset.plate_masks, jnp.shape(log_det))
            log_dets[site.name] = jnp.where(mask, log_det, 0.0)
        found = problem.site_log_probs_at(latents, dataset)
        for name, log_det in log_dets.items():
            same = jnp.shape(log_det) == jnp.shape(found[name])
            found[name] = found[name] + log_det if same else jnp.sum(found[name]) + jnp.sum(log_det)
        return found

    return log_probs


def _frontier(graph: Graph, output: int, dependence: Mapping[int, Dependence]) -> set[int]:
    """Where being affine ends on the way to an output, each value traced back to the first one of its kind."""
    ends = {
        i
        for equation in graph.upstream(output)
        if dependence[equation.results[0]] >= Dependence.QUADRATIC
        for i in equation.inputs()
        if dependence[i] is Dependence.AFFINE
    }
    makers = {result: equation for equation in graph.equations for result in equation.results}
    return {_first_of_kind(graph, i, makers, dependence) for i in ends}


def _first_of_kind(
    graph: Graph, value: int, makers: Mapping[int, Equation], dependence: Mapping[int, Dependence]
) -> int:
    """Steps back over elementwise maps of one affine value with constants, such as `(y - loc) / 2`."""
    while value in makers:
        moving = [i for i in makers[value].inputs() if dependence[i] is Dependence.AFFINE]
        if len(moving) != 1 or makers[value].name not in _ELEMENTWISE:
            return value
        if graph.size(moving[0]) != graph.size(value):
            return value
        value = moving[0]
    return value


_ELEMENTWISE = {
    "neg", "convert_element_type", "reshape", "broadcast_in_dim", "squeeze", "expand_dims", "copy", "add", "sub", "mul",
    "div", "select_n",
}  # fmt: skip


def _root(problem: Problem, name: str, graph: Graph, output: int, dependence: Mapping[int, Dependence]) -> int:
    roots = _frontier(graph, output, dependence)
    if len(roots) == 1 and graph.size(next(iter(roots))) == graph.size(output):
        return next(iter(roots))
    shapes = ", ".join(str(graph.shapes[i]) for i in sorted(roots))
    raise NotInformedError(
        f"each entry of site '{name}' of '{problem.name}' must depend on the latents through one number; it has shape "
        f"{graph.shapes[output]} and depends on values of shape {shapes}"
    )


def _downstream(graph: Graph, root: int, output: int, known: Mapping[int, Array]) -> tuple[Equation, ...]:
    """Equations from a predictor to an output."""
    have, kept = {root, *known}, []
    for equation in graph.upstream(output):
        if not set(equation.results) <= have and set(equation.inputs()) <= have:
            kept.append(equation)
            have |= set(equation.results)
    if output not in have:
        raise NotInformedError("a value between the predictor and the log probability depends on other latents as well")
    return tuple(kept)


def _find_scales(problem: Problem, parts: Parts, dataset: Dataset) -> tuple[str, ...]:
    """Latent sites that enter some site's log probability otherwise than through one number per entry."""
    graph, outputs = trace_graph(_log_probs_of(problem), parts, {}, dataset)
    chosen = graph.inputs[: len(parts)]
    dependence = graph.dependence(chosen)
    names = dict(zip(chosen, sorted(parts), strict=True))
    found = set()
    for output in outputs.values():
        if _dependence_of(output, dependence) is Dependence.CURVED:
            for root in _frontier(graph, output, dependence):
                if graph.size(root) != graph.size(output):
                    sources = {root} | {i for e in graph.upstream(root) for i in e.inputs()}
                    found |= {names[i] for i in sources if i in names}
    return tuple(site.name for site in problem.space.sites if site.name in found)


def _example(problem: Problem) -> tuple[Parts, Dataset]:
    """Latents and a dataset, with a number of rows that nothing else has."""
    space = problem.space
    parts = {site.name: space.part(jnp.zeros(space.size), site.name) for site in space.sites}
    taken = {n for part in parts.values() for n in part.shape} | {n for a in problem.arguments for n in a.shape}
    num_rows = next(n for n in itertools.count(7) if n not in taken)
    values = {a.name: jnp.zeros((num_rows, *a.shape), a.dtype) for a in problem.arguments}
    return parts, Dataset(values, jnp.ones(num_rows, bool), problem.plate_masks(problem.capacity))
