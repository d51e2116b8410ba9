"""One walk through the user's model: which sites it has, and whether they can serve.

The rule that decides what is data: an argument that the model hands to `obs=` is data, a site without `obs` is
a latent, every other array argument is a covariate. Whatever the trace cannot decide is refused with its cure.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import CategoricalLogits, CategoricalProbs, Distribution, biject_to, constraints

from posterity.model.arguments import ModelFunction, model_name, optional_arguments
from posterity.model.improper import base_distribution, is_improper
from posterity.model.sites import ROW_PLATE, DataKind, DataSite, LatentSite, ModelTrace
from posterity.model.supports import fixed_supports
from posterity.model.trace import (
    Shapes,
    Trace,
    abstract_trace,
    is_latent,
    is_observed,
    log_prob_shape,
)
from posterity.runtime.errors import InputError, RowsError

__all__ = ["data_kind", "inspect_model", "latent_site", "plates_of_axes"]


def inspect_model(model: ModelFunction, shapes: Shapes) -> ModelTrace:
    """Walks the model on abstract arrays (nothing is computed) and refuses, by site name, what cannot be served.

    Args:
        model: The NumPyro model.
        shapes: Argument name -> shape and dtype of every data and covariate argument, rows first.

    Raises:
        InputError: No latents, nothing observed, data transformed on its way to `obs=`, no row axis, latents along
            the rows, supports that depend on latents or data, and whatever `abstract_trace` refuses.
    """
    where = f"model '{model_name(model)}'"
    left_out = [name for name in optional_arguments(model) if name not in shapes]
    try:
        abstract_trace(model, shapes, lambda trace: _check_observed(where, trace, shapes))
    except InputError as error:
        if not left_out:
            raise
        raise type(error)(
            f"{error}. The example leaves out {', '.join(left_out)}: give values to what is data"
        ) from error
    supports, moving = fixed_supports(where, model, shapes)
    found = abstract_trace(model, shapes, lambda trace: _read_trace(where, trace, shapes, supports, moving))
    return dataclasses.replace(found, row_plates=_row_plates(where, model, shapes, found))


def _check_observed(where: str, trace: Trace, shapes: Shapes) -> None:
    """Every observed site observes one argument as it is, and no two the same."""
    given = ", ".join(shapes)
    observed = [site for site in trace.values() if is_observed(site)]
    if not observed:
        raise InputError(f"{where} observes nothing: no argument among {given} reaches obs= of a site")
    for site in observed:
        if site["argument"] is None:
            raise RowsError(
                f"{where}: site '{site['name']}' observes a value that is none of the arguments {given}. Data must "
                "reach obs= as given: transform it before the call (or use a TransformedDistribution); what "
                "handlers.condition sets belongs in an argument, too"
            )
        if sum(other["argument"] == site["argument"] for other in observed) > 1:
            raise RowsError(f"{where}: argument '{site['argument']}' is observed by several sites; it can be by one")


def _read_trace(
    where: str, trace: Trace, shapes: Shapes, supports: Mapping[str, Any], moving: Collection[str]
) -> ModelTrace:
    num_rows = _num_rows(shapes)
    latents = tuple(latent_site(where, site, supports[name]) for name, site in trace.items() if is_latent(site))
    if not latents:
        raise InputError(f"{where} has no latent site: there is nothing to infer")
    data = tuple(
        _data_site(where, site, num_rows, site["name"] not in moving) for site in trace.values() if is_observed(site)
    )
    plates = {s["name"]: s["args"][0] for s in trace.values() if s["type"] == "plate"}
    return ModelTrace(latents, data, plates, frozenset())


def _num_rows(shapes: Shapes) -> int:
    return next(iter(shapes.values())).shape[0]


def plates_of_axes(site: Mapping[str, Any], ndim: int) -> tuple[str | None, ...]:
    """Plate along each of the `ndim` batch axes of a site, or None."""
    plates: list[str | None] = [None] * ndim
    for frame in site["cond_indep_stack"]:
        if -frame.dim <= ndim:  # log probabilities of a factor may have no axes at all
            plates[frame.dim] = frame.name
    return tuple(plates)


def latent_site(where: str, site: Mapping[str, Any], support: Any) -> LatentSite:
    """What a latent site of a trace is, given its support with concrete bounds.

    Raises:
        InputError: No bijection onto the support is known.
    """
    name, shape, event_dim = site["name"], jnp.shape(site["value"]), site["fn"].event_dim
    try:
        bijector = biject_to(support)
    except NotImplementedError as error:
        raise InputError(
            f"{where}: no bijection onto the support of latent site '{name}' ({type(support).__name__}) is known; "
            "write it as a transformation of latents with simpler supports"
        ) from error
    plates = plates_of_axes(site, len(shape) - event_dim)
    return LatentSite(name, shape, event_dim, plates, bijector, is_improper(site["fn"]))


def _data_site(where: str, site: Mapping[str, Any], num_rows: int, fixed_support: bool) -> DataSite:
    name, shape = site["name"], log_prob_shape(where, site)
    plates = plates_of_axes(site, len(shape))
    if not plates or shape[0] != num_rows or ROW_PLATE in plates[1:]:
        raise RowsError(
            f"{where}: observed site '{name}' has no row axis: its log probabilities have shape {shape} "
            f"for {num_rows} rows, which must be their first axis. Put it in numpyro.plate('{ROW_PLATE}', n), or let "
            "rows be its first batch axis"
        )
    kind, num_classes = data_kind(site["fn"])
    return DataSite(name, site["argument"], plates, kind, num_classes, fixed_support)


def data_kind(distribution: Distribution) -> tuple[DataKind, int]:
    """Kind of value that a distribution draws, and the number of classes if it is a class."""
    if not distribution.is_discrete:
        return "real", 0
    base = base_distribution(distribution)
    if isinstance(base.support, type(constraints.boolean)):
        return "binary", 0
    if isinstance(base, (CategoricalLogits, CategoricalProbs)):
        return "class", int(base.support.upper_bound) + 1  # pyright: ignore[reportAttributeAccessIssue]
    lower = getattr(base.support, "lower_bound", 0)  # none in Multinomial's support, which starts at 0
    may_be_negative = not isinstance(lower, jax.core.Tracer) and bool(np.any(np.asarray(lower) < 0))
    return ("real", 0) if may_be_negative else ("count", 0)


def _row_plates(where: str, model: ModelFunction, shapes: Shapes, found: ModelTrace) -> frozenset[str]:
    """Doubles the rows: latents must keep their shapes, each data site must follow; returns the plates that did."""
    num_rows = 2 * _num_rows(shapes)
    doubled = {name: jax.ShapeDtypeStruct((num_rows, *s.shape[1:]), s.dtype) for name, s in shapes.items()}

    def compare(trace: Trace) -> frozenset[str]:
        _refuse_growing(where, trace, found.latents)
        for site in found.data:
            _data_site(where, trace[site.name], num_rows, site.fixed_support)
        return frozenset(name for name, size in found.plates.items() if trace[name]["args"][0] != size)

    return abstract_trace(
        model,
        doubled,
        compare,
        situation="with twice the rows of the example (take the number of rows from an argument's shape)",
        failure=RowsError,
    )


def _refuse_growing(where: str, trace: Trace, latents: Iterable[LatentSite]) -> None:
    """Latents must be the same sites with the same shapes whatever the number of rows."""
    before = {site.name: site.shape for site in latents}
    after = {name: jnp.shape(site["value"]) for name, site in trace.items() if is_latent(site)}
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            raise RowsError(
                f"{where}: latent site '{name}' grows with the rows (one value per row). Only latents shared by all "
                "rows can be inferred: integrate it out, or give it a plate of its own groups"
            )
