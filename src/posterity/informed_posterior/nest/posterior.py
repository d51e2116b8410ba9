r"""Scale latents: q(scales) q(rest | scales).

Latents $\tau$ that scale others (noise sds, dispersions, the spreads of group effects) bend the posterior into a funnel
that no single anchor follows. Given $\tau$ the rest has an anchor, and with it a bound on the evidence
$\log p(D, \tau)$, of which q($\tau$) is made.
"""

import dataclasses

import jax.numpy as jnp
from jax import vmap
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from posterity.amortized.families.base import AbstractNoisePosterior, WideDraws
from posterity.amortized.families.noise import BaseNoise
from posterity.amortized.families.wider import log_wider, log_wider_scales, stretched
from posterity.informed_posterior.nest.density import AxesDensity
from posterity.informed_posterior.nest.rest import AbstractRest

__all__ = ["NestedPosterior"]


class NestedPosterior(AbstractNoisePosterior):
    r"""q of all latents: the scales first, then the rest given them.

    Draws are stratified over the scales: each by itself is a draw from q, and together they cover it evenly.

    Attributes:
        scales: q of $\tau$.
        rest: q of the other latents given it.
        where: Coordinates of `z` that are $\tau$.
        mask: True for active latents, $\tau$ included.
    """

    scales: AxesDensity
    rest: AbstractRest
    where: Int[Array, " scale"]
    mask: Bool[Array, " latent"]

    @classmethod
    def nest(cls, scales: AxesDensity, rest: AbstractRest, where: Int[Array, " scale"]) -> "NestedPosterior":
        """The rest nested in a density of the scales at these coordinates."""
        return cls(scales=scales, rest=rest, where=where, mask=rest.mask.at[where].set(True))

    @property
    def num_uniform(self) -> int:
        """One for each scale."""
        return self.where.shape[-1]

    @property
    def num_scores(self) -> int:
        """All of them."""
        return self.num_uniform

    def from_noise(self, noise: BaseNoise) -> WideDraws:
        """Draws with their log densities; the uniform numbers become the scales."""
        uniform = noise.uniform[:, : self.where.size]
        scores = ndtri(uniform)
        scales = vmap(self.scales.quantile)(uniform)
        normal = stretched(noise, self.rest.mask)
        z, log_q = self.rest.from_normal(scales, scores, normal)
        wider = log_wider(normal, self.rest.mask, log_wider_scales(scores))
        return WideDraws(z.at[:, self.where].set(scales), log_q + vmap(self.scales.log_prob)(scales), wider)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        z = jnp.where(self.mask, z, 0.0)
        scales = z[self.where]
        inner = self.rest.log_prob(z, scales, self.scales.normal_scores(scales))
        return self.scales.log_prob(scales) + inner

    def of_size(self, size: int) -> "NestedPosterior":
        """The same without padding."""
        return dataclasses.replace(self, rest=self.rest.of_size(size), mask=self.mask[:size])
