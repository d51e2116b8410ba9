"""Supports with concrete bounds: what a bijector needs, and what must not move with latents or data."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro import handlers

from posterity.model.arguments import ModelFunction
from posterity.model.improper import StartImproper
from posterity.model.trace import Shapes, is_latent, is_observed
from posterity.runtime.compile import jit
from posterity.runtime.errors import InputError
from posterity.runtime.threads import NUMPYRO

__all__ = ["fixed_supports"]


def fixed_supports(where: str, model: ModelFunction, shapes: Shapes) -> tuple[dict[str, Any], frozenset[str]]:
    """Support of each latent site with concrete bounds, and the observed sites whose support follows a latent.

    Bounds that the model computes are evaluated at made-up arguments, for two seeds and for two sets of values;
    those of latents must agree.

    Args:
        where: Start of the error message.
        model: The NumPyro model, which `abstract_trace` accepts.
        shapes: Argument name -> shape and dtype, rows first.

    Returns:
        Latent site -> support; names of observed sites such as y ~ Uniform(0, theta).

    Raises:
        InputError: The support of a latent site depends on another latent or on data.
    """
    found = _Bounds(model)
    jax.eval_shape(found.leaves, dict(shapes), 0)
    values: dict[str, list[Any]] = dict(found.static)
    moving: set[str] = set()
    if found.traced:
        evaluate = jit(found.leaves, effort="little")
        first, other = _made_up(shapes, 0), _made_up(shapes, 1)
        bounds = evaluate(first, 0)
        by_latents, by_data = _changed(bounds, evaluate(first, 1)), _changed(bounds, evaluate(other, 0))
        for name in sorted(found.latents):
            if name in by_latents or name in by_data:
                cause = "another latent" if name in by_latents else "data"
                raise InputError(
                    f"{where}: the support of latent site '{name}' depends on {cause}. Draw it on a fixed support and "
                    "rescale it: for Uniform(0, t) sample u ~ Uniform(0, 1) and use t * u"
                )
        moving = by_latents - found.latents
        values |= {name: [np.asarray(leaf) for leaf in leaves] for name, leaves in bounds.items()}
    supports = {name: jax.tree.unflatten(found.treedefs[name], values[name]) for name in found.latents}
    return supports, frozenset(moving)


class _Bounds:
    """Reads the bounds of supports out of a run of the model; those known without running it stay outside."""

    def __init__(self, model: ModelFunction):
        self.model = model
        self.latents: set[str] = set()
        self.traced: set[str] = set()
        self.static: dict[str, list[Any]] = {}
        self.treedefs: dict[str, Any] = {}

    def leaves(self, given: Mapping[str, Array], seed: int | Array) -> dict[str, list[Array]]:
        """Site -> bounds that the model computes."""
        with NUMPYRO, StartImproper():
            trace = handlers.trace(handlers.seed(self.model, random.key(seed))).get_trace(**given)
        computed = {}
        for name, site in trace.items():
            if is_latent(site):
                self.latents.add(name)
            elif not is_observed(site) or site["fn"].is_discrete:
                continue
            bounds, self.treedefs[name] = jax.tree.flatten(site["fn"].support)
            if any(isinstance(bound, jax.core.Tracer) for bound in bounds):
                self.traced.add(name)
                computed[name] = [jnp.asarray(bound) for bound in bounds]
            else:
                self.static[name] = bounds
        return computed


def _changed(bounds: Mapping[str, list[Array]], others: Mapping[str, list[Array]]) -> set[str]:
    return {
        name
        for name, leaves in bounds.items()
        if not all(np.array_equal(a, b) for a, b in zip(leaves, others[name], strict=True))
    }


def _made_up(shapes: Shapes, seed: int) -> dict[str, np.ndarray]:
    """Arguments without meaning: normal numbers, small whole numbers, coin flips."""
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        draw = (
            rng.normal(3.0 * seed, 1.0, shape.shape)
            if shape.dtype == np.float32
            else rng.integers(0, 2 + 5 * seed, shape.shape)
        )
        values[name] = draw.astype(shape.dtype)
    return values
