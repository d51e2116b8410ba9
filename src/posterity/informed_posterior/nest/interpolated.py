r"""The rest given the scales, interpolated between anchors at a design of scales.

$$\text{rest} = r + \sigma \circ \big(m + U (d \circ u)\big),$$

with marginal standard deviations $\sigma$, locations $m$ in their units, unit upper-triangular $U$ and widths $d$ all
functions of $\tau$, $\sigma$ and $d$ by their logarithms, and $u$ standard normal noise, bent. In these units little
changes where a group's effects shrink towards 0 with their spread, over orders of magnitude.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import vmap
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.amortized.families.noise import NUM_BLOCKS
from posterity.informed_posterior.anchor.anchor import Anchor, spread_of
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.nest.interpolation import block_of, interpolation_weights
from posterity.informed_posterior.nest.rest import AbstractRest

__all__ = ["InterpolatedRest"]

MIDDLE = 1  # a point of the design near its middle
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
    shapes: Float[Array, "point latent latent"]
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
        spreads = vmap(spread_of)(anchors.factor)
        sds = jnp.sqrt(jnp.sum(jnp.square(spreads), axis=2))
        rows = spreads / sds[:, :, None]
        widths = jnp.diagonal(rows, axis1=1, axis2=2)
        middle, width = anchors.loc[MIDDLE], sds[MIDDLE]
        origin = jnp.where(jnp.abs(middle) > FAR * width, middle, 0.0)
        return cls(
            origin=origin,
            locs=(anchors.loc - origin) / sds,
            log_sds=jnp.log(sds),
            shapes=rows / widths[:, None, :],
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
        bent, log_det = vmap(RowMap.transform_many)(self.maps, jnp.reshape(normal, (NUM_BLOCKS, -1, rest.size)))
        log_q = vmap(standard_normal_log_prob, in_axes=(0, None))(normal, rest) - jnp.reshape(log_det, total)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        steps = jnp.exp(log_widths) * jnp.reshape(bent, (total, -1))
        at_points = jnp.einsum("sj,mij->smi", steps, self.shapes)
        inner = weights @ self.locs + jnp.einsum("sm,smi->si", weights, at_points)
        z = jnp.where(rest, self.origin + jnp.exp(log_sds) * inner, 0.0)
        return z, log_q - jnp.sum(jnp.where(rest, log_sds + log_widths, 0.0), axis=1)

    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""
        weights = interpolation_weights(scores)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        gap = jnp.where(self.mask, (z - self.origin) * jnp.exp(-log_sds) - weights @ self.locs, 0.0)
        bent = solve_triangular(jnp.tensordot(weights, self.shapes, 1), gap, lower=False, unit_diagonal=True)
        row_map = jax.tree.map(lambda leaf: leaf[block_of(scores)], self.maps)
        widths = jnp.sum(jnp.where(self.mask, log_sds + log_widths, 0.0))
        return row_map.log_prob(bent * jnp.exp(-log_widths)) - widths

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
