r"""Which latents stand together in groups that meet only through the others: found, never named by the user.

Along a plate, each entry has the same latents. If every log probability touches those of one entry at most, and the
prior ties none to another entry's, the rest is an arrow. Whether that is so is tried with numbers: a derivative along
the same latent of all entries at once tells a term's coefficient, one along the entries' numbers tells which entry it
is of (Curtis, Powell and Reid 1974), and one along random numbers tells whether there is no other.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from posterity.informed_posterior.read.terms import padded_size
from posterity.model.model import Model
from posterity.model.space import LatentSpace

__all__ = ["Order", "candidate_axes", "order_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """Latents in the order of an arrow: the first of each group, the second of each, and so on, then the border.

    Attributes:
        own: Coordinates of `z` of the groups' latents.
        border: Of the border; as many as latents that are there at all, then padding.
        size_z: Length of `z`.
    """

    own: Int[np.ndarray, "own group"]
    border: Int[np.ndarray, " border"]
    size_z: int

    @property
    def size(self) -> int:
        """Length of a vector in this order."""
        return self.own.size + self.border.size

    @property
    def width(self) -> int:
        """Latents that one term touches, at most."""
        return len(self.own) + self.border.size

    @functools.cached_property
    def from_z(self) -> Int[np.ndarray, " latent"]:
        """Coordinate of `z` of each entry; that beyond the last for padding."""
        return np.concatenate([np.ravel(self.own), self.border]).astype(np.int32)

    @functools.cached_property
    def to_z(self) -> Int[np.ndarray, " coordinate"]:
        """Entry of each coordinate of `z`; that beyond the last for coordinates that have none, such as scales."""
        places = np.full(self.size_z + 1, self.size, np.int32)
        places[self.from_z] = np.arange(self.size)
        return places[: self.size_z]

    def arrange(self, z: Array) -> Array:
        """Numbers at the coordinates of `z`, along the last axis, in this order; 0 or False for padding."""
        return jnp.take(z, self.from_z, axis=-1, mode="fill", fill_value=0)

    def restore(self, vector: Array) -> Array:
        """The inverse; 0 or False for coordinates that have no entry."""
        return jnp.take(vector, self.to_z, axis=-1, mode="fill", fill_value=0)


def candidate_axes(model: Model, scale_sites: tuple[str, ...]) -> tuple[str, ...]:
    """Axes along which the rest may fall into groups, those that would cost least first.

    Args:
        model: The model.
        scale_sites: Sites that are given.

    Returns:
        Names of plates; `site:axis` for axes without a plate.
    """
    orders = {axis: order_of(model, scale_sites, axis) for axis in _axes_of_rest(model, scale_sites)}
    return tuple(sorted(orders, key=lambda axis: _cost(orders[axis])))


def _cost(order: Order) -> float:
    return order.own.size * order.width**2 + order.border.size**3


@functools.cache
def order_of(model: Model, scale_sites: tuple[str, ...], axis: str) -> Order:
    """The order of the rest's latents with groups along an axis.

    Args:
        model: The model.
        scale_sites: Sites that are given.
        axis: As `candidate_axes` names it.
    """
    space = model.space
    along = _axes_of_rest(model, scale_sites)[axis]
    index = np.arange(space.size)
    own = np.concatenate(
        [
            np.reshape(np.moveaxis(part, along[name], -1), (-1, part.shape[along[name]]))
            for name, part in _parts(model, index).items()
            if name in along
        ]
    )
    border = np.setdiff1d(index, np.concatenate([np.ravel(own), space.places(scale_sites)]))
    padding = padded_size(max(1, len(border))) - len(border)
    return Order(own, np.pad(border, (0, padding), constant_values=space.size), space.size)


def _parts(model: Model, index: np.ndarray) -> dict[str, np.ndarray]:
    space = model.space
    return {
        site.name: np.reshape(index[space.coordinates(site.name)], _shape(space, site.name)) for site in space.sites
    }


def _shape(space: LatentSpace, name: str) -> tuple[int, ...]:
    """Of a site's unconstrained value."""
    return jax.eval_shape(lambda z: space.part(z, name), jax.ShapeDtypeStruct((space.size,), np.float32)).shape


def _axes_of_rest(model: Model, scale_sites: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Axis -> sites that run along it, and as which of their axes."""
    found: dict[str, dict[str, int]] = {}
    parts = _parts(model, np.arange(model.space.size))
    for site in model.space.sites:
        if site.name not in scale_sites:
            shape = parts[site.name].shape
            plates = (*site.plates, *[None] * len(shape))[: len(shape)]
            for number, plate in enumerate(plates):
                if shape[number] > 1:
                    found.setdefault(plate or f"{site.name}:{number}", {}).setdefault(site.name, number)
    return found
