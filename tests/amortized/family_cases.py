"""Posterior families for the laws: small, away from their start, and compiled as rarely as can be."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PyTree

from posterity.amortized.families import FAMILIES, AbstractFamily, StandardizedFamily

LATENT_SIZE = 4
CONTEXT_SIZE = 3
CONTEXT = jnp.asarray([0.7, -1.2, 0.4])
PRIOR_LOC = jnp.asarray([3.0, -1.0, 0.5, 0.0])
PRIOR_SCALE = jnp.asarray([0.5, 2.0, 1.5, 0.8])
NUM_ROWS = 1024  # of every compiled call below

MASKS = {
    name: np.array(active, bool)
    for name, active in {
        "all": [1, 1, 1, 1],
        "gap": [1, 0, 1, 1],
        "pair": [0, 1, 0, 1],
        "single": [0, 0, 1, 0],
        "none": [0, 0, 0, 0],
    }.items()
}

Build = Callable[..., AbstractFamily]


def _family(name: str, **options) -> Build:
    return lambda size=LATENT_SIZE, *, key: FAMILIES[name](size, CONTEXT_SIZE, key=key, **options)


def _standardized(build: Build) -> Build:
    return lambda size=LATENT_SIZE, *, key: StandardizedFamily(
        build(size, key=key), PRIOR_LOC[:size], PRIOR_SCALE[:size]
    )


_SMALL = {"num_layers": 3, "width": 8, "knots": 5}
BUILDS: dict[str, Build] = {
    **{name: _family(name) for name in FAMILIES if name != "flow"},
    "flow_spline": _family("flow", **_SMALL),
    "flow_affine": _family("flow", transform="affine", linear="diagonal", **_SMALL),
    "standardized": _standardized(_family("full")),
}


@functools.cache
def start(case: str, size: int = LATENT_SIZE) -> AbstractFamily:
    """The family as its constructor leaves it."""
    return BUILDS[case](size, key=random.key(0))


@functools.cache
def trained(case: str, size: int = LATENT_SIZE) -> AbstractFamily:
    """The family with noise on every weight, as after some training: nothing is at the identity."""
    return with_noise(start(case, size), np.random.default_rng(1))


def with_noise(family: PyTree, rng: np.random.Generator, noise: float = 0.25) -> PyTree:
    """Normal noise added to every weight; the constants of a standardised family stay."""
    if isinstance(family, StandardizedFamily):
        return eqx.tree_at(lambda f: f.family, family, with_noise(family.family, rng, noise))
    return jax.tree.map(lambda w: w + jnp.asarray(noise * rng.normal(size=w.shape), w.dtype), family)


class Densities(NamedTuple):
    """Log densities of some rows of `z`, with the gradients of their sum."""

    log_prob: Array
    by_z: Array
    by_weights: PyTree


class Draws(NamedTuple):
    """Draws, their log densities, and the gradient of a reverse KL over them."""

    z: Array
    log_prob: Array
    by_weights: PyTree


def densities(family, mask, zs, context=CONTEXT) -> Densities:
    """Everything about `log_prob` at `NUM_ROWS` points."""
    return _densities(family, mask, zs, context)


@eqx.filter_jit
def _densities(family, mask, zs, context) -> Densities:
    def total(family, zs):
        log_probs = vmap(family(context, mask).log_prob)(zs)
        return jnp.sum(log_probs), log_probs

    (by_weights, by_z), log_probs = jax.grad(total, argnums=(0, 1), has_aux=True)(family, zs)
    return Densities(log_probs, by_z, by_weights)


@eqx.filter_jit
def draws(family, mask, rng_key) -> Draws:
    """Everything about `NUM_ROWS` draws; the target of the reverse KL is no Gaussian."""

    def loss(family):
        z, log_probs = family(CONTEXT, mask).sample_and_log_prob(rng_key, NUM_ROWS)
        return jnp.mean(log_probs + jnp.sum(jnp.cos(z) + z**4, axis=-1)), (z, log_probs)

    by_weights, (z, log_probs) = jax.grad(loss, has_aux=True)(family)
    return Draws(z, log_probs, by_weights)


def log_probs(family, mask, zs) -> np.ndarray:
    """Log densities of any number of points, in calls of `NUM_ROWS`."""
    padded = np.resize(zs, (-(-len(zs) // NUM_ROWS), NUM_ROWS, zs.shape[1]))
    return np.concatenate([densities(family, mask, block).log_prob for block in padded])[: len(zs)]


def on_grid(case: str, mask, side: int):
    """Points of a square grid over the active latents, NaN in the others, and the volume of a cell."""
    axis = np.linspace(-7.0, 7.0, side)
    active = np.flatnonzero(mask)
    units = np.asarray(PRIOR_SCALE)[active] if case == "standardized" else np.ones(len(active))
    centre = np.asarray(PRIOR_LOC)[active] if case == "standardized" else np.zeros(len(active))
    points = np.stack(np.meshgrid(*[axis] * len(active), indexing="ij"), axis=-1).reshape(-1, len(active))
    zs = np.full((len(points), len(mask)), np.nan, np.float32)
    zs[:, active] = centre + units * points
    return zs, float(np.prod(units) * (axis[1] - axis[0]) ** len(active))
