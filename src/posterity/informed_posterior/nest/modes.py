"""The posterior of one dataset around the modes that were found: bent if there is one, a mixture if there are more."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import AbstractNoisePosterior, WideDraws, standard_normal_log_prob
from posterity.amortized.families.noise import BaseNoise
from posterity.amortized.families.wider import log_wider, stretched
from posterity.informed_posterior.algebra.dense import spread_of
from posterity.informed_posterior.anchor.local import LocalGaussian
from posterity.informed_posterior.bend.posterior import AnchoredPosterior

__all__ = ["ModesPosterior", "mode_weights"]

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
        """One, for the mode."""
        return 1

    @property
    def num_modes(self) -> Array:
        """Number of modes in the mixture."""
        return jnp.sum(jnp.isfinite(self.log_weights))

    def from_noise(self, noise: BaseNoise) -> WideDraws:
        """Draws with their log densities."""
        ends = jnp.cumsum(jnp.exp(self.log_weights))
        mode = jnp.minimum(jnp.searchsorted(ends, noise.uniform[:, 0] * ends[-1]), ends.size - 1)
        normal = stretched(noise, self.mask)
        spreads = vmap(lambda factor: normal @ spread_of(factor).T)(self.gaussians.factor)
        z = jnp.where(self.mask, self.gaussians.loc[mode] + spreads[mode, jnp.arange(len(normal))], 0.0)
        densities, wider = self._densities(z)
        mixture = self._mixed(densities)
        several = WideDraws(z, mixture, self._mixed(densities + wider) - mixture)
        return jax.tree.map(partial(jnp.where, self.num_modes == 1), self.best.from_noise(noise), several)

    def of_size(self, size: int) -> "ModesPosterior":
        """Itself: nothing is padded here."""
        assert size == self.mask.size
        return self

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        z = jnp.where(self.mask, z, 0.0)
        mixture = self._mixed(self._densities(z[None])[0])[0]
        return jnp.where(self.num_modes == 1, self.best.log_prob(z), mixture)

    def _densities(self, z: Float[Array, "draw latent"]) -> tuple[Float[Array, "mode draw"], Float[Array, "mode draw"]]:
        """Log densities of all Gaussians, and of their wider draws over these."""

        def one(gaussian: LocalGaussian) -> tuple[Array, Array]:
            normal = jnp.where(self.mask, (z - gaussian.loc) @ gaussian.factor, 0.0)
            widths = jnp.sum(jnp.where(self.mask, jnp.log(jnp.diagonal(gaussian.factor)), 0.0))
            density = vmap(standard_normal_log_prob, in_axes=(0, None))(normal, self.mask) + widths
            return density, log_wider(normal, self.mask)

        return vmap(one)(self.gaussians)

    def _mixed(self, densities: Float[Array, "mode draw"]) -> Float[Array, " draw"]:
        inside = jnp.isfinite(self.log_weights)  # taken apart, so that gradients never see an infinite difference
        weights = jnp.where(inside, self.log_weights, -1e30)
        return jax.nn.logsumexp(jnp.where(inside[:, None], densities, 0.0) + weights[:, None], axis=0)
