"""Running the user's model on abstract arrays: shapes without values, and what no estimator can serve.

Nothing is computed here. A model that looks at values while it builds its sites fails at once, which is how
data-dependent shapes are found.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import random
from numpyro import handlers
from numpyro.contrib.control_flow.cond import cond_wrapper
from numpyro.distributions import (
    Delta,
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    Unit,
)
from numpyro.primitives import Messenger

from posterity.model.arguments import ModelFunction, model_name
from posterity.model.improper import StartImproper, base_distribution
from posterity.runtime.errors import InputError, RowsError
from posterity.runtime.threads import NUMPYRO

__all__ = [
    "Shapes",
    "Trace",
    "abstract_trace",
    "base_distribution",
    "is_latent",
    "is_observed",
    "log_prob_shape",
    "shapes_of",
]

Shapes = Mapping[str, jax.ShapeDtypeStruct]
Trace = Mapping[str, dict[str, Any]]
Found = TypeVar("Found")

# What JAX raises when a program asks an abstract array for its values.
VALUE_DEPENDENT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def shapes_of(arrays: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Argument name -> shape and dtype of its array."""
    return {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in arrays.items()}


def abstract_trace(
    model: ModelFunction,
    shapes: Shapes,
    read: Callable[[Trace], Found],
    *,
    by_row: bool = True,
    situation: str = "on the example dataset",
    failure: type[InputError] = InputError,
) -> Found:
    """Runs the model on abstract arrays and returns what `read` takes from the trace (static facts only).

    Each observed site in the trace has an entry `argument`: the name of the argument that it observes, or None.

    Args:
        model: The NumPyro model.
        shapes: Argument name -> shape and dtype, rows first.
        read: Called with the trace while it is being made; its result must hold no traced array.
        by_row: Whether rows are exchangeable; else factors, scans, and scaled and masked observations may serve.
        situation: Where a failure of the model happened, for the message.
        failure: Error to raise then.

    Raises:
        RowsError: It uses what no model with exchangeable rows may: factors, scan, scaled or masked sites.
        InputError: The model fails, looks at values while it builds its sites, or uses what cannot be served:
            discrete or degenerate latents, params, subsampled or masked latent sites.
    """
    found: list[Found] = []
    where = f"model '{model_name(model)}'"

    def run(given: Mapping[str, Any]) -> None:
        checked = handlers.seed(_Refuse(model, where, by_row), random.key(0))
        with NUMPYRO, StartImproper():
            found.append(read(_with_arguments(handlers.trace(checked).get_trace(**given), given)))

    try:
        jax.eval_shape(run, dict(shapes))
    except InputError as error:
        raise type(error)(str(error)) from None  # without JAX's notes on its own traceback
    except VALUE_DEPENDENT as error:
        raise InputError(
            f"{where} looks at the values of its arguments while it builds its sites ({type(error).__name__}): "
            "shapes and branches must depend on argument shapes only (numpy.unique, x[mask], int(x.max()) or an if on "
            "data do not). Work out sizes before the call and bind them with functools.partial"
        ) from error
    except Exception as error:
        raise failure(f"{where} failed {situation}: {type(error).__name__}: {_first_line(error)}") from error
    return found[0]


def is_latent(site: Mapping[str, Any]) -> bool:
    """Whether a site of a trace is inferred."""
    return site["type"] == "sample" and not site["is_observed"]


def is_observed(site: Mapping[str, Any]) -> bool:
    """Whether a site of a trace was handed `obs=`."""
    return site["type"] == "sample" and site["is_observed"]


def log_prob_shape(where: str, site: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of an observed site's log probabilities, rows first.

    Raises:
        InputError: The distribution and the data broadcast each other to a larger shape.
    """
    distribution, value_shape = site["fn"], jnp.shape(site["value"])
    shape = jnp.shape(distribution.log_prob(site["value"]))
    if shape and shape != value_shape[: len(value_shape) - distribution.event_dim]:
        raise InputError(
            f"{where}: observed site '{site['name']}' broadcasts: its distribution has batch shape "
            f"{distribution.batch_shape} and argument '{site['argument']}' has {value_shape}, so that its log "
            f"probabilities have shape {shape}; make the two shapes agree, rows first"
        )
    return shape


def _with_arguments(trace: Trace, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Adds to each site the name of the argument that it observes, found by identity."""
    named = {}
    for name, site in trace.items():
        argument = next((key for key, array in given.items() if array is site["value"]), None)
        named[name] = {**site, "argument": argument}
    return named


class _Refuse(Messenger):
    """Stops at the first site that cannot be served, before NumPyro draws it."""

    def __init__(self, model: ModelFunction, where: str, by_row: bool):
        super().__init__(model)
        self.where, self.by_row = where, by_row

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Raises InputError with the site's name and the cure."""
        if reason := _foreign(msg):
            raise InputError(f"{self.where}: {reason}")
        if msg["type"] == "sample" and not msg["is_observed"] and (reason := _unsuitable_latent(msg)):
            raise InputError(f"{self.where}: {reason}")
        if self.by_row and (reason := _without_rows(msg)):
            raise RowsError(f"{self.where}: {reason}")


def _foreign(msg: Mapping[str, Any]) -> str | None:
    name, kind = msg.get("name"), msg["type"]
    if kind in ("param", "mutable"):
        return f"'{name}' is a {kind}, which is optimised; make it a sample with a prior"
    if kind == "control_flow" and msg["fn"] is cond_wrapper:
        return (
            "cond is not supported: which sites there are must not depend on values; choose between values, not sites"
        )
    if kind == "plate" and msg["args"][1] not in (None, msg["args"][0]):
        return f"plate '{name}' subsamples; posterity needs all rows: drop subsample_size"
    return None


def _without_rows(msg: Mapping[str, Any]) -> str | None:
    """Why a program with this message has no exchangeable rows, or does not say how they arise."""
    if msg["type"] == "control_flow":
        return "scan is not supported: rows must be exchangeable; write the rows as one plate"
    if msg["type"] != "sample":
        return None
    name = msg["name"]
    if isinstance(base_distribution(msg["fn"]), Unit):
        return f"site '{name}' is a numpyro.factor, which cannot be simulated; write it as a distribution with obs="
    if msg["scale"] is not None:
        return (
            f"site '{name}' is scaled (handlers.scale), so the model no longer says how its data arise; write the "
            "tempering into the distribution instead"
        )
    if _is_masked(msg["fn"]):
        return (
            f"site '{name}' is masked (handlers.mask, obs_mask or .mask()), so the model no longer says how its data "
            "arise; leave the masked rows out of the dataset"
        )
    return None


def _unsuitable_latent(msg: Mapping[str, Any]) -> str | None:
    name, distribution = msg["name"], base_distribution(msg["fn"])
    if isinstance(distribution, Delta):
        return f"latent site '{name}' is a Delta, so there is nothing to infer; use numpyro.deterministic"
    if msg["fn"].is_discrete:
        told = type(distribution).__name__.removesuffix("Probs").removesuffix("Logits")
        return (
            f"latent site '{name}' is discrete ({told}). Only continuous latents can be "
            "inferred: marginalise it (numpyro's MixtureSameFamily does) or observe it"
        )
    if _is_masked(msg["fn"]):
        return (
            f"latent site '{name}' is masked (handlers.mask, obs_mask or .mask()), so where its mask is False nothing "
            "bounds it; leave the masked rows out of the dataset"
        )
    return None


def _is_masked(distribution: Distribution) -> bool:
    while not isinstance(distribution, MaskedDistribution):
        if not isinstance(distribution, (ExpandedDistribution, Independent)):
            return False
        distribution = distribution.base_dist
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
