"""Programs without exchangeable rows: the whole dataset counts as one observation.

Time series, a Gaussian process over all points, states along a time axis: they have no rows, but a log joint. Every
argument keeps its own shape, and one axis of length 1 stands before it, so that all else sees a dataset of one row.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
from jax import random
from jax.interpreters import partial_eval
from jaxtyping import Array
from numpyro import handlers

from posterity.model.arguments import Argument, ModelFunction, model_name
from posterity.model.improper import StartImproper
from posterity.model.inspect import data_kind, latent_site, plates_of_axes
from posterity.model.sites import DataSite, ModelTrace
from posterity.model.supports import fixed_supports
from posterity.model.trace import Shapes, Trace, abstract_trace, is_latent, is_observed, log_prob_shape
from posterity.runtime.errors import InputError
from posterity.runtime.threads import NUMPYRO

__all__ = ["WholeProgram", "inspect_whole", "whole_arguments"]


class WholeProgram:
    """The same program for arrays of one row, which is the whole dataset.

    Attributes:
        func: The program for arrays as the user has them.
    """

    def __init__(self, func: ModelFunction):
        self.func = func
        self.__signature__ = inspect.signature(func)

    def __call__(self, **arrays: Array) -> Any:
        """Runs the program on the one row."""
        return self.func(**{name: array[0] for name, array in arrays.items()})


def inspect_whole(function: ModelFunction, shapes: Shapes) -> ModelTrace:
    """Walks the program on abstract arrays in their own shapes; what its sites observe may be anything.

    Args:
        function: The NumPyro program.
        shapes: Argument name -> shape and dtype.

    Raises:
        InputError: No latents, nothing observed, supports that depend on latents or data, and whatever
            `abstract_trace` refuses.
    """
    where = f"model '{model_name(function)}'"
    abstract_trace(function, shapes, lambda trace: None, by_row=False)
    supports, moving = fixed_supports(where, function, shapes)

    def read(trace: Trace) -> ModelTrace:
        latents = tuple(latent_site(where, site, supports[name]) for name, site in trace.items() if is_latent(site))
        data = tuple(_data_site(where, site, name not in moving) for name, site in trace.items() if is_observed(site))
        for sites, missing in ((latents, "has no latent site: there is nothing to infer"), (data, "observes nothing")):
            if not sites:
                raise InputError(f"{where} {missing}")
        plates = {site["name"]: site["args"][0] for site in trace.values() if site["type"] == "plate"}
        return ModelTrace(latents, data, plates, frozenset())

    return abstract_trace(function, shapes, read, by_row=False)


def _data_site(where: str, site: Mapping[str, Any], fixed_support: bool) -> DataSite:
    shape = log_prob_shape(where, site)
    kind, num_classes = data_kind(site["fn"])
    plates = plates_of_axes(site, len(shape))
    return DataSite(site["name"], site["argument"] or "", plates, kind, num_classes, fixed_support, by_row=False)


def whole_arguments(function: ModelFunction, shapes: Shapes, trace: ModelTrace) -> tuple[Argument, ...]:
    """The arguments in their own shapes; data are those from which a site observes, if only a part.

    Args:
        function: The NumPyro program.
        shapes: Argument name -> shape and dtype.
        trace: What `inspect_whole` found.
    """
    observed = _observed(function, shapes)
    seen_as_given = {site.argument: site for site in trace.data}
    arguments = []
    for name, shape in shapes.items():
        role = "data" if name in observed else "covariate"
        site = seen_as_given.get(name)
        dtype = str(shape.dtype) if site is None else "float32" if site.kind == "real" else "int32"
        kind, num_classes = ("real", 0) if site is None else (site.kind, site.num_classes)
        plates = (None,) * len(shape.shape)
        arguments.append(Argument(name, role, shape.shape, dtype, plates, kind, num_classes))
    return tuple(arguments)


def _observed(function: ModelFunction, shapes: Shapes) -> frozenset[str]:
    """Arguments that what is observed is computed from."""

    def values(given: Mapping[str, Any]) -> list[Any]:
        with NUMPYRO, StartImproper():
            trace = handlers.trace(handlers.seed(function, random.key(0))).get_trace(**given)
        return [site["value"] for site in trace.values() if is_observed(site)]

    program: Any = jax.make_jaxpr(values)(dict(shapes)).jaxpr
    _, used = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
    return frozenset(name for name, is_used in zip(sorted(shapes), used, strict=True) if is_used)
