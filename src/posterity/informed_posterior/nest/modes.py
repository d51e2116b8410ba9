r"""The posterior of one dataset around the modes that were found: bent if there is one, a mixture if there are more.

A tenth of all draws is defensive: stretched threefold along one coordinate of the noise,

$$q(e) = (1 - \delta)\, N(e; 0, I) + \frac{\delta}{P} \sum_k N\big(e; 0, I + (s^2 - 1)\, 1_k 1_k'\big),
  \quad \delta = 0.1,\ s = 3.$$

Where a posterior reaches further than its Gaussian, as a funnel does, no draw would otherwise get there, and weights
that never saw the tail look healthy. Where it does not, the tenth costs about as many draws.
"""

import jax
import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.informed_posterior.anchor.anchor import spread_of
from posterity.informed_posterior.anchor.local import LocalGaussian
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.noise import AbstractNoisePosterior, BaseNoise

__all__ = ["ModesPosterior", "mode_weights"]

STRETCH, SHARE = 3.0, 0.1
FAR = 1.5  # modes count as two if they lie this far apart, in standard deviations, per square root of latents
LOWEST = -1e30  # bound that stands for -inf
LIGHT = 10.0  # nats below the best mode's evidence at which a mode counts nothing


def mode_weights(gaussians: LocalGaussian, mask: Bool[Array, " latent"]) -> Float[Array, " mode"]:
    """Log weights of Gaussians in a mixture, -inf for those that repeat a better one or hold next to nothing.

    The first always counts, also where none could be had (all bounds -inf, as where a likelihood is zero near every
    mode): q stays a density, and its weights tell how bad it is.

    Args:
        gaussians: Best first, as `find_gaussians` gives them.
        mask: True for active latents.
    """
    reach = FAR * jnp.sqrt(jnp.sum(mask))

    def consider(i: Array, kept: Array) -> Array:
        gaps = jnp.where(mask, gaussians.loc - gaussians.loc[i], 0.0)
        lengths = jnp.linalg.norm(gaps @ gaussians.factor[i], axis=1)
        repeats = jnp.any(kept & (lengths < reach))
        return kept.at[i].set((gaussians.bound[i] > gaussians.bound[0] - LIGHT) & ~repeats)

    kept = lax.fori_loop(0, gaussians.bound.size, consider, jnp.zeros(gaussians.bound.shape, bool))
    kept = kept.at[0].set(True)
    return jax.nn.log_softmax(jnp.where(kept, jnp.maximum(gaussians.bound, LOWEST), -jnp.inf))


class ModesPosterior(AbstractNoisePosterior):
    """q over one or several modes.

    Attributes:
        best: q around the mode of highest evidence.
        gaussians: At all modes, best first.
        log_weights: Of the mixture; -inf for those that are not in it.
        mask: True for active latents.
    """

    best: AnchoredPosterior
    gaussians: LocalGaussian
    log_weights: Float[Array, " mode"]
    mask: Bool[Array, " latent"]

    @property
    def num_uniform(self) -> int:
        """One for the mode, one for the stretch."""
        return 2

    @property
    def num_modes(self) -> Array:
        """Number of modes in the mixture."""
        return jnp.sum(jnp.isfinite(self.log_weights))

    def from_noise(self, noise: BaseNoise) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities."""
        ends = jnp.cumsum(jnp.exp(self.log_weights))
        mode = jnp.minimum(jnp.searchsorted(ends, noise.uniform[:, 0] * ends[-1]), ends.size - 1)
        stretched = _stretched_noise(noise, self.mask)
        draws = jnp.arange(len(stretched))
        spreads = vmap(lambda factor: stretched @ spread_of(factor).T)(self.gaussians.factor)
        z = jnp.where(self.mask, self.gaussians.loc[mode] + spreads[mode, draws], 0.0)
        single = self.num_modes == 1
        bent, log_det = self.best.transform_many(stretched)
        bent_log_q = vmap(_stretched_log_prob, in_axes=(0, None))(stretched, self.mask) - log_det
        return jnp.where(single, bent, z), jnp.where(single, bent_log_q, vmap(self._mixture)(z))

    def of_size(self, size: int) -> "ModesPosterior":
        """Itself: nothing is padded here."""
        assert size == self.mask.size
        return self

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        z = jnp.where(self.mask, z, 0.0)
        noise, log_det = self.best.inverse_and_log_det(z)
        return jnp.where(self.num_modes == 1, _stretched_log_prob(noise, self.mask) + log_det, self._mixture(z))

    def _mixture(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        def one(gaussian: LocalGaussian) -> Array:
            noise = jnp.where(self.mask, gaussian.factor.T @ (z - gaussian.loc), 0.0)
            widths = jnp.sum(jnp.where(self.mask, jnp.log(jnp.diagonal(gaussian.factor)), 0.0))
            return _stretched_log_prob(noise, self.mask) + widths

        densities = vmap(one)(self.gaussians)
        inside = jnp.isfinite(self.log_weights)  # taken apart, so that gradients never see an infinite difference
        weights = jnp.where(inside, self.log_weights, -1e30)
        return jax.nn.logsumexp(jnp.where(inside, densities, 0.0) + weights)


def _stretched_noise(noise: BaseNoise, mask: Bool[Array, " latent"]) -> Float[Array, "draw latent"]:
    """Noise of which a share is stretched along one active coordinate, each as often."""
    normal = jnp.where(mask, noise.normal, 0.0)
    share = noise.uniform[:, 1] / SHARE  # in (0, 1) for those that are stretched: which share of the coordinates
    count = jnp.cumsum(mask)
    which = jnp.searchsorted(count, jnp.floor(share * count[-1]) + 1)
    chosen = (jnp.arange(mask.size) == which[:, None]) & (share < 1.0)[:, None]
    return jnp.where(chosen, STRETCH * normal, normal)


def _stretched_log_prob(noise: Float[Array, " latent"], mask: Bool[Array, " latent"]) -> Float[Array, ""]:
    gains = 0.5 * (1.0 - STRETCH**-2) * jnp.square(noise) - jnp.log(STRETCH * jnp.sum(mask))
    along = jax.nn.logsumexp(jnp.where(mask, gains, -jnp.inf))
    return standard_normal_log_prob(noise, mask) + jnp.logaddexp(jnp.log1p(-SHARE), jnp.log(SHARE) + along)
