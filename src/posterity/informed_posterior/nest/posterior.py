r"""Scale latents: q(scales) q(rest | scales), the rest anchored anew at a design of scales.

Latents $\tau$ that scale others (noise sds, dispersions, the spreads of group effects) bend the posterior into a funnel
that no single anchor follows. Given $\tau$ the rest has an anchor, and with it a bound on the evidence
$\log p(D, \tau)$, of which q($\tau$) is made. Between the points of the design the anchors are interpolated, so
$q(\text{rest} \mid \tau)$ is exact wherever the rest is Gaussian, up to that interpolation:

$$\text{rest} = r + \sigma \circ \big(m + U (d \circ u)\big),$$

with marginal standard deviations $\sigma$, locations $m$ in their units, unit upper-triangular $U$ and widths $d$ all
functions of $\tau$, $\sigma$ and $d$ by their logarithms. In these units little changes where a group's effects
shrink towards 0 with their spread, over orders of magnitude.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import vmap
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.informed_posterior.anchor.anchor import Anchor, spread_of
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.nest.density import AxesDensity
from posterity.informed_posterior.nest.interpolation import block_of, interpolation_weights
from posterity.informed_posterior.noise import NUM_BLOCKS, AbstractNoisePosterior, BaseNoise

__all__ = ["NestedPosterior"]

MIDDLE = 1  # a point of the design near its middle
FAR = 5.0  # standard deviations from 0 beyond which a latent is taken from where it is


class NestedPosterior(AbstractNoisePosterior):
    r"""q of all latents: the scales first, then the rest given them.

    Draws are stratified over the scales: each by itself is a draw from q, and together they cover it evenly.

    Attributes:
        scales: q of $\tau$.
        origin: $r$, far from 0 only for latents that are.
        locs: $m$ at each point of the design.
        log_sds: $\log \sigma$ there.
        shapes: $U$ there.
        log_widths: $\log d$ there.
        maps: How the rest is bent, for equally probable blocks along the first axis; a leading axis runs along them.
        where: Coordinates of `z` that are $\tau$.
        mask: True for active latents, $\tau$ included.
    """

    scales: AxesDensity
    origin: Float[Array, " latent"]
    locs: Float[Array, "point latent"]
    log_sds: Float[Array, "point latent"]
    shapes: Float[Array, "point latent latent"]
    log_widths: Float[Array, "point latent"]
    maps: RowMap
    where: Int[Array, " scale"]
    mask: Bool[Array, " latent"]

    @classmethod
    def through(
        cls,
        scales: AxesDensity,
        anchors: Anchor,
        maps: RowMap,
        rest: Bool[Array, " latent"],
        where: Int[Array, " scale"],
    ) -> "NestedPosterior":
        """The posterior with these anchors of the rest at the points of the design.

        Args:
            scales: q of the scales.
            anchors: Along a leading axis.
            maps: One for each block of draws.
            rest: True for the active latents that are no scales.
            where: Coordinates of the scales.
        """
        spreads = vmap(spread_of)(anchors.factor)
        sds = jnp.sqrt(jnp.sum(jnp.square(spreads), axis=2))
        rows = spreads / sds[:, :, None]
        widths = jnp.diagonal(rows, axis1=1, axis2=2)
        middle, width = anchors.loc[MIDDLE], sds[MIDDLE]
        origin = jnp.where(jnp.abs(middle) > FAR * width, middle, 0.0)
        return cls(
            scales=scales,
            origin=origin,
            locs=(anchors.loc - origin) / sds,
            log_sds=jnp.log(sds),
            shapes=rows / widths[:, None, :],
            log_widths=jnp.log(widths),
            maps=maps,
            where=where,
            mask=rest.at[where].set(True),
        )

    @property
    def num_uniform(self) -> int:
        """One for each scale."""
        return self.where.shape[-1]

    def from_noise(self, noise: BaseNoise) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities; the uniform numbers become the scales."""
        total, rest = noise.uniform.shape[0], self.maps.mask[0]
        uniform = noise.uniform[:, : self.where.size]
        scales = vmap(self.scales.quantile)(uniform)
        weights = vmap(interpolation_weights)(ndtri(uniform))
        normal = jnp.where(rest, noise.normal, 0.0)
        bent, log_det = vmap(RowMap.transform_many)(self.maps, jnp.reshape(normal, (NUM_BLOCKS, -1, rest.size)))
        log_q = vmap(standard_normal_log_prob, in_axes=(0, None))(normal, rest) - jnp.reshape(log_det, total)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        log_q -= jnp.sum(jnp.where(rest, log_sds + log_widths, 0.0), axis=1)
        steps = jnp.exp(log_widths) * jnp.reshape(bent, (total, -1))
        at_points = jnp.einsum("sj,mij->smi", steps, self.shapes)
        inner = weights @ self.locs + jnp.einsum("sm,smi->si", weights, at_points)
        z = jnp.where(rest, self.origin + jnp.exp(log_sds) * inner, 0.0).at[:, self.where].set(scales)
        return z, log_q + vmap(self.scales.log_prob)(scales)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        z = jnp.where(self.mask, z, 0.0)
        scales, rest = z[self.where], self.maps.mask[0]
        v = self.scales.normal_scores(scales)
        weights = interpolation_weights(v)
        log_sds, log_widths = weights @ self.log_sds, weights @ self.log_widths
        gap = jnp.where(rest, (z - self.origin) * jnp.exp(-log_sds) - weights @ self.locs, 0.0)
        bent = solve_triangular(jnp.tensordot(weights, self.shapes, 1), gap, lower=False, unit_diagonal=True)
        row_map = jax.tree.map(lambda leaf: leaf[block_of(v)], self.maps)
        widths = jnp.sum(jnp.where(rest, log_sds + log_widths, 0.0))
        inner = row_map.log_prob(bent * jnp.exp(-log_widths)) - widths
        return self.scales.log_prob(scales) + inner

    def of_size(self, size: int) -> "NestedPosterior":
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
