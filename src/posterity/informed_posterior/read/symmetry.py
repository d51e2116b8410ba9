"""Models whose log joint is the same at several points, so that their scales have several equal modes.

Entries of a mixture may change places, a loading may change its sign with what it loads on. A search for one peak would
find one of several and never know: no weight can tell. Such models are answered around all their modes instead, and
what a network has learned of one of their labellings is carried over to the others.
"""

import itertools
from collections.abc import Iterator
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float, Int
from numpyro.distributions.transforms import IdentityTransform, IndependentTransform, Transform

from posterity.informed_posterior.read.relabelling import relabelled
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit

__all__ = ["scales_have_twins", "symmetries"]

NUM_ROWS = 7  # of the made-up dataset that symmetries are looked for with
SAME = 1e-4  # relative difference of two log joints that are the same


def scales_have_twins(model: Model, scale_sites: tuple[str, ...], dataset: Dataset, z: Float[Array, " latent"]) -> bool:
    """Whether the log joint is the same where scales, or scales with others, change places or signs.

    Args:
        model: The model.
        scale_sites: Sites whose peak is searched for.
        dataset: A few rows.
        z: Latents at which to look.
    """
    scales = model.space.places(scale_sites)
    # No two entries are equal.
    here = np.asarray(z) + 0.1 * np.cos(np.arange(1.0, z.size + 1.0)).astype(np.float32)
    twins = np.stack([here, *_flipped(model, scale_sites, here), *jax.device_get(relabelled(model, jnp.asarray(here)))])
    twins = twins[np.any(np.abs(twins - here)[:, scales] > 1e-3, axis=1)]
    if not len(twins):
        return False

    first, *others = _log_joints(model, np.concatenate([here[None], twins]), dataset)
    return bool(np.any(np.abs(others - first) <= SAME * (1.0 + abs(first))))


@lru_cache(maxsize=64)
def symmetries(model: Model) -> tuple[Int[np.ndarray, "map latent"], Float[np.ndarray, "map latent"]]:
    r"""Maps $(g z)_j = s_j z_{p_j}$ that change nothing about the log joint: p, and s; the identity is the first.

    Entries of latents in other orders, and whole latents with another sign, one, two, or all of them; see `relabelled`.
    They are found at random latents and made-up rows: what holds there holds for all.

    Args:
        model: The model.
    """
    size = model.space.size
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, size)).astype(np.float32)
    identity = np.arange(size), np.ones(size, np.float32)
    maps = [identity, *_orders(model, z[0])]
    signed = [site.name for site in model.space.sites if _is_identity(site.bijector)]
    for together in [*itertools.combinations(signed, 1), *itertools.combinations(signed, 2), signed]:
        flipped = np.ones(size, np.float32)
        for name in together:
            flipped[model.space.coordinates(name)] = -1.0
        maps.append((np.arange(size), flipped))
    places, signs = (np.stack(part) for part in zip(*maps, strict=True))
    arrays = {a.name: jnp.asarray(_made_up(rng, (NUM_ROWS, *a.shape), a.dtype)) for a in model.arguments}
    dataset = Dataset(arrays, jnp.ones(NUM_ROWS, bool), model.plate_masks(model.capacity))
    moved = signs[:, None] * np.take_along_axis(z[None], places[:, None], axis=2)
    found = np.reshape(_log_joints(model, np.reshape(moved, (-1, size)), dataset), (len(maps), 2))
    same = np.all(np.abs(found - found[0]) <= SAME * (1.0 + np.abs(found[0])), axis=1)
    return places[same], signs[same]


def _orders(model: Model, z: Float[np.ndarray, " latent"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Other orders of entries as maps, where the unconstrained latents are reordered, too, and not changed."""
    for moved in jax.device_get(relabelled(model, jnp.asarray(z))):
        gaps = np.abs(np.asarray(moved)[:, None] - z)
        places = np.argmin(gaps, axis=1)
        if np.max(np.min(gaps, axis=1)) < 1e-4 and len(set(places.tolist())) == len(places):
            yield places, np.ones(len(z), np.float32)


def _made_up(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers between 0 and 1, which most likelihoods take."""
    if np.dtype(dtype).kind == "f":
        return rng.uniform(0.1, 0.9, shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def _log_joints(
    model: Model, points: Float[np.ndarray, "point latent"], dataset: Dataset
) -> Float[np.ndarray, " point"]:
    def log_joints(points: Array, dataset: Dataset) -> Array:
        return vmap(lambda at: model.log_joint(at, dataset))(points)

    return np.asarray(jit(log_joints, effort="little")(points, dataset))


def _flipped(model: Model, scale_sites: tuple[str, ...], z: np.ndarray) -> Iterator[np.ndarray]:
    """The point with the sign of each scale site changed that may be negative: alone, with each other one, with all."""
    signed = [site.name for site in model.space.sites if _is_identity(site.bijector)]
    for name in signed:
        if name in scale_sites:
            others = [other for other in signed if other != name]
            for together in ([name], *[[name, other] for other in others], signed):
                moved = z.copy()
                for other in together:
                    moved[model.space.coordinates(other)] *= -1.0
                yield moved


def _is_identity(bijector: Transform) -> bool:
    while isinstance(bijector, IndependentTransform):
        bijector = bijector.base_transform
    return isinstance(bijector, IdentityTransform)
