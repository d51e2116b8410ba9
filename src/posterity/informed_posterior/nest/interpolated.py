r"""The rest given the scales, interpolated between anchors at a design of scales.

$$\text{rest} = r + \sigma \circ \big(m + U (d \circ u)\big),$$

with marginal standard deviations $\sigma$, locations $m$ in their units, unit upper-triangular $U$ and widths $d$ all
functions of $\tau$, $\sigma$ and $d$ by their logarithms, and $u$ standard normal noise, bent. In these units little
changes where a group's effects shrink towards 0 with their spread, over orders of magnitude.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.amortized.families.noise import NUM_BLOCKS
from posterity.informed_posterior.algebra.arrow import ArrowSpread, Spread
from posterity.informed_posterior.algebra.dense import as_shape, shape_solved, spread_of
from posterity.informed_posterior.anchor.anchor import Anchor
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.nest.interpolation import block_of, interpolation_weights
from posterity.informed_posterior.nest.rest import AbstractRest

__all__ = ["InterpolatedRest"]

Found = TypeVar("Found")

MIDDLE = 1  # a point of the design near its middle
TOGETHER = 64  # draws for which an arrow's shape is interpolated side by side
FAR = 5.0  # standard deviations from 0 beyond which a latent is taken from where it is


class InterpolatedRest(AbstractRest):
    r"""q of the rest by its anchors at the points of a design.

    Attributes:
        origin: $r$, far from 0 only for latents that are.
        locs: $m$ at each point of the design.
        log_sds: $\log \sigma$ there.
        shapes: $U$ there.
        log_widths: $\log d$ there.
        maps: How the noise is bent, for equally probable blocks along the first axis; a leading axis runs along them.
        mask: True for the active latents that are no scales.
    """

    origin: Float[Array, " latent"]
    locs: Float[Array, "point latent"]
    log_sds: Float[Array, "point latent"]
    shapes: Spread
    log_widths: Float[Array, "point latent"]
    maps: RowMap
    mask: Bool[Array, " latent"]

    @classmethod
    def through(cls, anchors: Anchor, maps: RowMap) -> "InterpolatedRest":
        """With these anchors at the points of the design.

        Args:
            anchors: Along a leading axis.
            maps: One for each block of draws.
        """
        sds, widths, shapes = vmap(lambda factor: as_shape(spread_of(factor)))(anchors.factor)
        middle, width = anchors.loc[MIDDLE], sds[MIDDLE]
        origin = jnp.where(jnp.abs(middle) > FAR * width, middle, 0.0)
        return cls(
            origin=origin,
            locs=(anchors.loc - origin) / sds,
            log_sds=jnp.log(sds),
            shapes=shapes,
            log_widths=jnp.log(widths),
            maps=maps,
            mask=maps.mask[0],
        )

    def from_normal(
        self,
        scales: Float[Array, "draw scale"],
        scores: Float[Array, "draw scale"],
        normal: Float[Array, "draw latent"],
    ) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities."""
        total, rest = len(normal), self.mask
        weights = vmap(interpolation_weights)(scores)
        is_arrow = isinstance(self.shapes, ArrowSpread)
        along_blocks = _in_turn if is_arrow else vmap
        blocks = jnp.reshape(normal, (NUM_BLOCKS, -1, rest.size))
        bent, log_det = along_blocks(RowMap.transform_many)(self.maps, blocks)
        log_q = vmap(standard_normal_log_prob, in_axes=(0, None))(normal, rest) - jnp.reshape(log_det, total)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        steps = jnp.exp(log_widths) * jnp.reshape(bent, (total, -1))
        if is_arrow:
            stepped = lax.map(lambda pair: self._shape(pair[0]) @ pair[1], (weights, steps), batch_size=TOGETHER)
        else:
            stepped = jnp.einsum("sm,smi->si", weights, jnp.einsum("sj,mij->smi", steps, self.shapes))
        inner = weights @ self.locs + stepped
        z = jnp.where(rest, self.origin + jnp.exp(log_sds) * inner, 0.0)
        return z, log_q - jnp.sum(jnp.where(rest, log_sds + log_widths, 0.0), axis=1)

    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""
        weights = interpolation_weights(scores)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        gap = jnp.where(self.mask, (z - self.origin) * jnp.exp(-log_sds) - weights @ self.locs, 0.0)
        bent = shape_solved(self._shape(weights), gap)
        row_map = jax.tree.map(lambda leaf: leaf[block_of(scores)], self.maps)
        widths = jnp.sum(jnp.where(self.mask, log_sds + log_widths, 0.0))
        return row_map.log_prob(bent * jnp.exp(-log_widths)) - widths

    def _shape(self, weights: Float[Array, " point"]) -> Spread:
        return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1), self.shapes)

    def of_size(self, size: int) -> "InterpolatedRest":
        """The same without padding."""
        return dataclasses.replace(
            self,
            origin=self.origin[:size],
            locs=self.locs[:, :size],
            log_sds=self.log_sds[:, :size],
            shapes=self.shapes[:, :size, :size],
            log_widths=self.log_widths[:, :size],
            maps=self.maps.of_size(size),
            mask=self.mask[:size],
        )


def _in_turn(function: Callable[..., Found]) -> Callable[..., Found]:
    """Along a leading axis, one after the other."""
    return lambda *arguments: lax.map(lambda own: function(*own), arguments)
