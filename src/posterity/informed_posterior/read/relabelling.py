"""Where nothing but their number tells the entries of a latent apart, a mode has twins: the same, relabelled.

Components of a mixture are such entries. Whether a model's are is not asked: a mode with its entries in another order
is a good place to look for another mode, and if it is none, the search leaves it.
"""

import itertools
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from posterity.model.model import Model

__all__ = ["relabelled"]

MOST_ENTRIES = 4  # of 24 orders; five entries have 120


def relabelled(model: Model, z: Float[Array, " latent"]) -> list[Float[Array, " latent"]]:
    """A point with the entries of its latents in every other order, along one kind of axis at a time.

    Axes belong together if they run along one plate, or along none and are equally long. Plates whose size varies from
    dataset to dataset follow the data's own axes and stay as they are, as do axes of more than four entries.

    Args:
        model: The model.
        z: The point.
    """
    latents = model.space.constrain(z)
    found = []
    for axes, size in _kinds(model):
        for order in list(itertools.permutations(range(size)))[1:]:
            moved = {name: jnp.take(latents[name], jnp.asarray(order), axis=axis) for name, axis in axes.items()}
            found.append(model.space.unconstrain({**latents, **moved}))
    return found


def _kinds(model: Model) -> list[tuple[Mapping[str, int], int]]:
    """Site -> axis, for the axes that belong together, and how long they are."""
    kinds: dict[str | int, dict[str, int]] = {}
    sizes: dict[str | int, int] = {}
    for site in model.space.sites:
        plates = (*site.plates, *[None] * (len(site.shape) - len(site.plates)))
        for axis, (plate, size) in enumerate(zip(plates, site.shape, strict=True)):
            if 2 <= size <= MOST_ENTRIES and plate not in model.capacity:
                kinds.setdefault(plate or size, {}).setdefault(site.name, axis)
                sizes[plate or size] = size
    return [(axes, sizes[kind]) for kind, axes in kinds.items()]
