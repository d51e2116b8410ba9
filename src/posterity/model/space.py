r"""Latents in two forms: a dict of sites in their supports, and one flat vector `z` of $\mathbb{R}^d$.

The bijectors are NumPyro's `biject_to`. Masked coordinates belong to plate entries that a dataset does not have:
they are held at zero, and neither their prior nor their log-det counts.
"""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from posterity.model.arguments import Argument
from posterity.model.dataset import AnyArray
from posterity.model.sites import LatentSite

__all__ = ["LatentSpace", "PlateMasks", "broadcast_mask", "masked_values"]

PlateMasks = Mapping[str, Bool[AnyArray, " _"]]


def broadcast_mask(plates: Sequence[str | None], masks: PlateMasks, shape: Sequence[int]) -> Bool[Array, "..."]:
    """Mask of an array whose axes run along plates: True where every plate along it is True.

    Args:
        plates: For each leading axis its plate, or None; missing trailing axes count as None.
        masks: Variable plate -> mask.
        shape: Shape of the array.
    """
    mask = jnp.ones(tuple(shape), bool)
    for axis, plate in enumerate(plates):
        if plate is not None and plate in masks:
            along = jnp.reshape(masks[plate], (-1,) + (1,) * (len(shape) - axis - 1))
            mask = mask & along
    return mask


def masked_values(
    values: Mapping[str, Array],
    arguments: Sequence[Argument],
    row_mask: Bool[Array, " obs"],
    plate_masks: PlateMasks,
) -> dict[str, Array]:
    """Arrays with zeros in padded rows and in masked plate entries."""
    result = {}
    for argument in arguments:
        array = values[argument.name]
        mask = broadcast_mask((None, *argument.plates), plate_masks, array.shape)
        mask &= jnp.reshape(row_mask, (-1,) + (1,) * (array.ndim - 1))
        result[argument.name] = jnp.where(mask, array, jnp.zeros((), array.dtype))
    return result


class LatentSpace:
    """The map between latents and `z`, for one model at the capacity of its plates.

    Attributes:
        sites: Latent sites in the order of the model.
        size: Length of `z`.
    """

    def __init__(self, sites: Sequence[LatentSite]):
        self.sites = tuple(sites)
        self._shapes = {s.name: _unconstrained_shape(s) for s in self.sites}
        ends = np.cumsum([math.prod(self._shapes[s.name]) for s in self.sites])
        self._slices = {
            s.name: slice(int(end) - math.prod(self._shapes[s.name]), int(end))
            for s, end in zip(self.sites, ends, strict=True)
        }
        self.size = int(ends[-1])

    def site_size(self, name: str) -> int:
        """Number of coordinates of `z` that belong to a site."""
        return self._slices[name].stop - self._slices[name].start

    def coordinates(self, name: str) -> slice:
        """Coordinates of `z` that belong to a site."""
        return self._slices[name]

    def places(self, names: Sequence[str]) -> Int[np.ndarray, " coordinate"]:
        """Coordinates of `z` that belong to some sites, site by site."""
        parts = [np.arange(self.size)[self.coordinates(name)] for name in names]
        return np.concatenate([np.zeros(0, int), *parts])

    def num_active(self, sizes: Mapping[str, int]) -> int:
        """Number of coordinates of `z` that a dataset with so many entries of each variable plate has."""
        total = 0
        for site in self.sites:
            shape = self._shapes[site.name]
            plates = (*site.plates, *[None] * len(shape))
            total += math.prod(sizes.get(plate or "", size) for plate, size in zip(plates, shape, strict=False))
        return total

    def mask(self, plate_masks: PlateMasks) -> Bool[Array, " latent"]:
        """True for the coordinates of `z` that a dataset with these plate entries has."""
        return jnp.concatenate(
            [broadcast_mask(s.plates, plate_masks, self._shapes[s.name]).ravel() for s in self.sites]
        )

    def constrain(self, z: Float[Array, " latent"]) -> dict[str, Array]:
        """Latents in their supports."""
        return {s.name: jnp.asarray(s.bijector(self.part(z, s.name))) for s in self.sites}

    def masked_value(self, site: LatentSite, value: Array, plate_masks: PlateMasks) -> Array:
        """Value of a site with masked entries set to what `constrain` makes of a zero there."""
        origin = site.bijector(jnp.zeros(self._shapes[site.name]))
        return jnp.where(broadcast_mask(site.plates, plate_masks, jnp.shape(value)), value, origin)

    def unconstrain(self, latents: Mapping[str, Array]) -> Float[Array, " latent"]:
        """Inverse of `constrain`."""
        return jnp.concatenate([jnp.ravel(s.bijector.inv(latents[s.name])) for s in self.sites])

    def constrain_and_log_det(
        self, z: Float[Array, " latent"], plate_masks: PlateMasks
    ) -> tuple[dict[str, Array], Float[Array, ""]]:
        """Latents and the log abs det of the Jacobian of `constrain`, over unmasked coordinates, in nats."""
        latents, total = {}, jnp.zeros(())
        for site in self.sites:
            part = self.part(z, site.name)
            value = site.bijector(part)
            log_det = site.bijector.log_abs_det_jacobian(part, value)  # batch shape, or finer for scalar bijectors
            mask = broadcast_mask(site.plates, plate_masks, jnp.shape(log_det))
            total += jnp.sum(jnp.where(mask, log_det, 0.0))
            latents[site.name] = value
        return latents, total

    def labels(self, entries: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """One label per scalar of each latent, such as `w[bmi]`, in C order.

        Args:
            entries: Plate, or `site:axis` for an axis without a plate -> names of its entries. Only that many
                entries are labelled along it; axes that are not named count from 0 to their size.
        """
        return {site.name: _site_labels(site, self.axis_entries(site, entries)) for site in self.sites}

    @staticmethod
    def axis_entries(site: LatentSite, entries: Mapping[str, Sequence[str]]) -> list[list[str]]:
        """Names along each axis of a site's value; see `labels`."""
        plates = (*site.plates, *[None] * site.event_dim)
        return [
            [str(e) for e in entries.get(plate or f"{site.name}:{axis}", range(size))]
            for axis, (plate, size) in enumerate(zip(plates, site.shape, strict=True))
        ]

    def part(self, z: Float[Array, " latent"], name: str) -> Array:
        """Unconstrained value of one site, in its own shape."""
        return jnp.reshape(z[self._slices[name]], self._shapes[name])


def _unconstrained_shape(site: LatentSite) -> tuple[int, ...]:
    return tuple(site.bijector.inverse_shape(site.shape))


def _site_labels(site: LatentSite, axes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    if not axes:
        return (site.name,)
    indices = [""]
    for names in axes:
        indices = [f"{index}, {name}" if index else name for index in indices for name in names]
    return tuple(f"{site.name}[{index}]" for index in indices)
