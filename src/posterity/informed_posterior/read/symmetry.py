"""Models whose log joint is the same at several points, so that their scales have several equal modes.

Entries of a mixture may change places, a loading may change its sign with what it loads on. A search for one peak would
find one of several and never know: no weight can tell. Such models are answered around all their modes instead.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float
from numpyro.distributions.transforms import IdentityTransform, IndependentTransform, Transform

from posterity.informed_posterior.read.relabelling import relabelled
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit

__all__ = ["scales_have_twins"]

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

    def log_joints(points: Array, dataset: Dataset) -> Array:
        return vmap(lambda at: model.log_joint(at, dataset))(points)

    first, *others = np.asarray(jit(log_joints, effort="little")(np.concatenate([here[None], twins]), dataset))
    return bool(np.any(np.abs(others - first) <= SAME * (1.0 + abs(first))))


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
