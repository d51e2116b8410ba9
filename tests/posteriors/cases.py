"""Posterior families for the laws: small, away from their start, and compiled once per case."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import PRNGKeyArray

from posterity.posteriors import FAMILIES, AbstractFamily, StandardizedFamily

LATENT_SIZE = 4
CONTEXT_SIZE = 3
CONTEXT = jnp.asarray([0.7, -1.2, 0.4])
PRIOR_LOC = jnp.asarray([3.0, -1.0, 0.5, 0.0])
PRIOR_SCALE = jnp.asarray([0.5, 2.0, 1.5, 0.8])

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
    "standardized_full": _standardized(_family("full")),
    "standardized_flow": _standardized(_family("flow", transform="affine", **_SMALL)),
}
GAUSSIANS = ["diagonal", "full", "standardized_full"]


def start(case: str, size: int = LATENT_SIZE) -> AbstractFamily:
    """The family as its constructor leaves it."""
    return BUILDS[case](size, key=random.key(0))


def trained(case: str, size: int = LATENT_SIZE) -> AbstractFamily:
    """The family with noise on every weight, as after some training: nothing is at the identity."""
    return perturbed(start(case, size), random.key(1))


def perturbed(family: AbstractFamily, rng_key: PRNGKeyArray, noise: float = 0.25) -> AbstractFamily:
    """Normal noise added to every weight; the constants of a standardised family stay."""
    if isinstance(family, StandardizedFamily):
        return eqx.tree_at(lambda f: f.family, family, perturbed(family.family, rng_key, noise))
    weights, structure = jax.tree.flatten(family)
    keys = random.split(rng_key, len(weights))
    return structure.unflatten(
        [w + noise * random.normal(key, w.shape) for w, key in zip(weights, keys, strict=True)]
    )


@eqx.filter_jit
def log_prob(family, mask, z, context=CONTEXT):
    """Log density of one `z`."""
    return family(context, mask).log_prob(z)


@eqx.filter_jit
def log_probs(family, mask, zs, context=CONTEXT):
    """Log density of each row of `zs`."""
    return vmap(family(context, mask).log_prob)(zs)


@eqx.filter_jit
def draws(family, mask, rng_key, num_samples=256, context=CONTEXT):
    """Draws and their log densities."""
    return family(context, mask).sample_and_log_prob(rng_key, num_samples)


def on_grid(active: int, mask, num_points: int, bound: float = 14.0):
    """Points of a square grid over `active` latents, NaN in the others, and the volume of a cell."""
    side = round(num_points ** (1 / active))
    axis = np.linspace(-bound, bound, side, dtype=np.float32)
    points = np.stack(np.meshgrid(*[axis] * active, indexing="ij"), axis=-1).reshape(-1, active)
    zs = np.full((len(points), len(mask)), np.nan, np.float32)
    zs[:, np.flatnonzero(mask)] = points
    return zs, float((axis[1] - axis[0]) ** active)
