"""One walk through the user's model: which sites it has, and whether they can serve.

The rule that decides what is data: an argument that the model hands to `obs=` is data, a site without `obs` is
a latent, every other array argument is a covariate. Whatever the trace cannot decide is refused with its cure.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform

from posterity.checks import InputError
from posterity.problem.arguments import DataKind, Model, model_name

__all__ = ["ROW_PLATE", "DataSite", "LatentSite", "ModelTrace", "abstract_trace", "inspect_model"]

ROW_PLATE = "observations"
Trace = Mapping[str, dict[str, Any]]
Found = TypeVar("Found")

# What JAX raises when a program asks an abstract array for its values.
VALUE_DEPENDENT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


@dataclasses.dataclass(frozen=True)
class LatentSite:
    """A site that is inferred.

    Attributes:
        name: Site name.
        shape: Shape of its value (batch axes, then event axes).
        event_dim: Number of event axes.
        plates: Plate name of each batch axis, or None.
        bijector: Maps unconstrained arrays onto the support.
    """

    name: str
    shape: tuple[int, ...]
    event_dim: int
    plates: tuple[str | None, ...]
    bijector: Transform

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape without the event axes."""
        return self.shape[: len(self.shape) - self.event_dim]


@dataclasses.dataclass(frozen=True)
class DataSite:
    """A site that observes an argument.

    Attributes:
        name: Site name.
        argument: The argument handed to `obs=`.
        row_axis: Axis of its `log_prob` array along which the rows lie, negative.
        plates: Plates along the last axes of its `log_prob` array, or None.
        kind: What its values are.
        num_classes: Number of classes where `kind` is `class`, else 0.
    """

    name: str
    argument: str
    row_axis: int
    plates: tuple[str | None, ...]
    kind: DataKind
    num_classes: int


@dataclasses.dataclass(frozen=True)
class ModelTrace:
    """What one run of the model showed: latent sites, data sites, plate sizes, shapes of all sites."""

    latents: tuple[LatentSite, ...]
    data: tuple[DataSite, ...]
    plates: dict[str, int]


def inspect_model(model: Model, arrays: Mapping[str, Array]) -> ModelTrace:
    """Walks the model on abstract arrays (nothing is computed) and refuses, by site name, what cannot be served.

    Args:
        model: The NumPyro model.
        arrays: Every data and covariate argument, rows first.

    Raises:
        InputError: Discrete latents, no latents, nothing observed, data transformed on its way to `obs=`,
            no row axis, latents along the rows, shapes or branches that depend on values, supports that
            depend on latents or data, sites that are no plain sample.
    """
    where = f"model '{model_name(model)}'"
    supports = _fixed_supports(where, model, arrays)
    found = abstract_trace(model, arrays, lambda trace: _read_trace(where, trace, arrays, supports))
    _check_observed(where, found.data, arrays)
    _check_rows(where, model, arrays, found)
    return found


def abstract_trace(model: Model, arrays: Mapping[str, Array], read: Callable[[Trace], Found]) -> Found:
    """Runs the model on abstract arrays and returns what `read` takes from the trace (static facts only).

    Raises:
        InputError: The model fails, or looks at values while it builds its sites.
    """
    found: list[Found] = []

    def run(given: Mapping[str, Array]) -> None:
        trace = handlers.trace(handlers.seed(model, random.key(0))).get_trace(**given)
        found.append(read(_with_arguments(trace, given)))

    where = f"model '{model_name(model)}'"
    try:
        jax.eval_shape(run, dict(arrays))
    except InputError:
        raise
    except VALUE_DEPENDENT as error:
        raise InputError(
            f"{where} looks at the values of its arguments while it builds its sites ({type(error).__name__}): "
            "shapes and branches must depend on argument shapes only (numpy.unique or an if on data does not)"
        ) from error
    except Exception as error:
        raise InputError(
            f"{where} failed on the example dataset: {type(error).__name__}: {_first_line(error)}"
        ) from error
    return found[0]


def _with_arguments(trace: Trace, given: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Adds to each observed site the name of the argument that it observes, found by identity."""
    named = {}
    for name, site in trace.items():
        argument = next((key for key, array in given.items() if array is site["value"]), None)
        named[name] = {**site, "argument": argument}
    return named


def _read_trace(where: str, trace: Trace, arrays: Mapping[str, Array], supports: Mapping[str, Any]) -> ModelTrace:
    _refuse_foreign_sites(where, trace)
    num_rows = next(iter(arrays.values())).shape[0]
    latents = tuple(_latent_site(where, site, supports[name]) for name, site in trace.items() if _is_latent(site))
    if not latents:
        raise InputError(f"{where} has no latent site: there is nothing to infer")
    data = tuple(_data_site(where, site, arrays, num_rows) for site in trace.values() if _is_observed(site))
    plates = {s["name"]: s["args"][0] for s in trace.values() if s["type"] == "plate"}
    return ModelTrace(latents, data, plates)


def _is_latent(site: Mapping) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _is_observed(site: Mapping) -> bool:
    return site["type"] == "sample" and site["is_observed"]


def _refuse_foreign_sites(where: str, trace: Trace) -> None:
    for name, site in trace.items():
        if site["type"] == "param":
            raise InputError(f"{where}: '{name}' is a param, which is optimised; make it a sample with a prior")
        if site["type"] == "control_flow":
            raise InputError(f"{where}: '{name}' runs inside scan or cond, whose rows are not exchangeable")
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            raise InputError(f"{where}: plate '{name}' subsamples; posterity needs all rows: drop subsample_size")
        if site["type"] == "sample" and site["scale"] is not None:
            raise InputError(
                f"{where}: site '{name}' is scaled (handlers.scale), so the model no longer says how its data "
                "arise; write the tempering into the distribution instead"
            )


def _latent_site(where: str, site: Mapping, support: Any) -> LatentSite:
    distribution, name = site["fn"], site["name"]
    batch_ndim = len(distribution.batch_shape)
    plates: list[str | None] = [None] * batch_ndim
    for frame in site["cond_indep_stack"]:
        plates[batch_ndim + frame.dim] = frame.name
    try:
        bijector = biject_to(support)
    except NotImplementedError as error:
        raise InputError(f"{where}: no bijection onto the support of latent site '{name}' is known") from error
    return LatentSite(name, jnp.shape(site["value"]), distribution.event_dim, tuple(plates), bijector)


def _data_site(where: str, site: Mapping, arrays: Mapping[str, Array], num_rows: int) -> DataSite:
    name, distribution = site["name"], site["fn"]
    argument = site["argument"]
    if argument is None:
        raise InputError(
            f"{where}: site '{name}' observes a value that is none of the arguments {', '.join(arrays)}. Data must "
            "reach obs= as given: transform it before the call (or use a TransformedDistribution); "
            "numpyro.factor is not supported, since it cannot be simulated"
        )
    log_prob_shape = jnp.shape(distribution.log_prob(site["value"]))
    row_axis = -len(log_prob_shape)
    plates: list[str | None] = [None] * len(log_prob_shape)
    for frame in site["cond_indep_stack"]:
        plates[frame.dim] = frame.name
        if frame.name == ROW_PLATE:
            row_axis = frame.dim
    if not log_prob_shape or log_prob_shape[row_axis] != num_rows:
        raise InputError(
            f"{where}: observed site '{name}' has no row axis: its log probabilities have shape {log_prob_shape} "
            f"for {num_rows} rows. Put it in numpyro.plate('{ROW_PLATE}', n), or let rows be its first batch axis"
        )
    kind, num_classes = _data_kind(distribution)
    return DataSite(name, argument, row_axis, tuple(plates), kind, num_classes)


def _data_kind(distribution: Any) -> tuple[DataKind, int]:
    """Kind of value that a distribution draws, and the number of classes if it is a class."""
    support = distribution.support
    if not distribution.is_discrete:
        return "real", 0
    if type(support).__name__ == "_Boolean":
        return "binary", 0
    upper = getattr(support, "upper_bound", None)
    lower = getattr(support, "lower_bound", None)
    is_class = type(distribution).__name__.startswith(("Categorical", "OrderedLogistic", "Expanded", "Masked"))
    if is_class and lower is not None and upper is not None and np.ndim(upper) == 0 and int(lower) == 0:
        return "class", int(upper) + 1
    return "count", 0


def _check_observed(where: str, data: tuple[DataSite, ...], arrays: Mapping[str, Array]) -> None:
    if not data:
        raise InputError(
            f"{where} observes nothing: no argument among {', '.join(arrays)} reaches obs= of a site"
        )
    arguments = [site.argument for site in data]
    for site in data:
        if arguments.count(site.argument) > 1:
            raise InputError(f"{where}: argument '{site.argument}' is observed by several sites; it can be by one")


def _check_rows(where: str, model: Model, arrays: Mapping[str, Array], found: ModelTrace) -> None:
    """Doubles the rows: latents must keep their shapes, and each data site must follow."""
    doubled = {name: jnp.concatenate([array, array]) for name, array in arrays.items()}
    num_rows = next(iter(doubled.values())).shape[0]

    def compare(trace: Trace) -> None:
        for latent in found.latents:
            if latent.name not in trace or jnp.shape(trace[latent.name]["value"]) != latent.shape:
                raise InputError(
                    f"{where}: latent site '{latent.name}' grows with the rows (one value per row). Only latents "
                    "shared by all rows can be inferred: integrate it out, or give it a plate of its own groups"
                )
        for site in found.data:
            _data_site(where, trace[site.name], doubled, num_rows)

    abstract_trace(model, doubled, compare)


def _fixed_supports(where: str, model: Model, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Support of each latent site with concrete bounds.

    Bounds that the model computes are evaluated for two seeds and for two sets of rows and must agree.
    """
    treedefs: dict[str, Any] = {}

    def leaves(given: Mapping[str, Array], seed: Array) -> dict[str, list[Array]]:
        trace = handlers.trace(handlers.seed(model, random.key(seed))).get_trace(**given)
        bounds = {}
        for name, site in trace.items():
            if _is_latent(site):
                _refuse_discrete(where, site)
                bounds[name], treedefs[name] = jax.tree.flatten(site["fn"].support)
        traced.update(name for name, found in bounds.items() if any(isinstance(b, jax.core.Tracer) for b in found))
        static.update({name: found for name, found in bounds.items() if name not in traced})
        return {name: [jnp.asarray(b) for b in found] for name, found in bounds.items() if name in traced}

    traced: set[str] = set()
    static: dict[str, list[Any]] = {}
    abstract_trace(model, arrays, lambda trace: None)  # refuses, with its cure, what cannot be traced at all
    jax.eval_shape(leaves, dict(arrays), 0)
    values: dict[str, list[Any]] = dict(static)
    if traced:
        compiled = jax.jit(leaves)
        first = compiled(dict(arrays), 0)
        turned = {name: array[::-1] * 3 if array.dtype == jnp.float32 else array for name, array in arrays.items()}
        for cause, other in (("another latent", compiled(dict(arrays), 1)), ("data", compiled(turned, 0))):
            for name in traced:
                if not all(np.array_equal(a, b) for a, b in zip(first[name], other[name], strict=True)):
                    raise InputError(
                        f"{where}: the support of latent site '{name}' depends on {cause}. Draw it on a fixed support "
                        "and rescale it: for Uniform(0, t) sample u ~ Uniform(0, 1) and use t * u"
                    )
        values |= {name: [np.asarray(leaf) for leaf in found] for name, found in first.items()}
    return {name: jax.tree.unflatten(treedefs[name], found) for name, found in values.items()}


def _refuse_discrete(where: str, site: Mapping) -> None:
    if site["fn"].is_discrete:
        raise InputError(
            f"{where}: latent site '{site['name']}' is discrete ({type(site['fn']).__name__}). Only continuous "
            "latents can be inferred: marginalise it (numpyro's MixtureSameFamily does) or observe it"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
