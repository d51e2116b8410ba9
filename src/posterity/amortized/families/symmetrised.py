r"""A posterior that holds all labellings of a model at once, whichever its network has learned.

Where the log joint is the same with latents in other places or with other signs, $p(z, D) = p(g z, D)$, the posterior
has a mode for each such $g$, and a q that was trained by its own draws keeps as few as one of them: no weight can tell.
Averaged over the maps, $q_S(z) = \tfrac{1}{|S|} \sum_g q(g^{-1} z)$ has them all: each draw is moved by one of them.
"""

import jax
import jax.numpy as jnp
from jax import vmap
from jaxtyping import Array, Bool, Float, Int

from posterity.amortized.families.base import (
    AbstractNoisePosterior,
    AbstractTransport,
    WideDraws,
    standard_normal_log_prob,
)
from posterity.amortized.families.noise import BaseNoise
from posterity.amortized.families.wider import log_wider

__all__ = ["SymmetrisedPosterior"]


class SymmetrisedPosterior(AbstractNoisePosterior):
    r"""$q_S$.

    Attributes:
        posterior: q.
        places: Of each $g$: $(g z)_j = s_j z_{p_j}$ has $p$ here; the identity is one of them.
        signs: And $s$ here.
    """

    posterior: AbstractTransport
    places: Int[Array, "map latent"]
    signs: Float[Array, "map latent"]

    def __init__(self, posterior: AbstractTransport, places: Int[Array, "map latent"], signs: Array):
        """The average of q over maps.

        Args:
            posterior: q.
            places: Of each map.
            signs: Of each map, shape `(map, latent)`.
        """
        self.posterior, self.places, self.signs = posterior, places, signs

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.posterior.mask

    @property
    def num_uniform(self) -> int:
        """One, for the map."""
        return 1

    def from_noise(self, noise: BaseNoise) -> WideDraws:
        """Draws in the order of the noise, with their log densities."""
        number = len(self.places)
        which = jnp.minimum((noise.uniform[:, 0] * number).astype(int), number - 1)
        z = self.posterior.from_noise(noise).z
        z = self.signs[which] * jnp.take_along_axis(z, self.places[which], axis=1)
        log_q, wider = vmap(vmap(self._densities_before, in_axes=(0, None)), in_axes=(None, 0))(
            (self.places, self.signs), z
        )
        mixture = jax.nn.logsumexp(log_q, axis=1)
        return WideDraws(z, mixture - jnp.log(number), jax.nn.logsumexp(log_q + wider, axis=1) - mixture)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        log_q, _ = vmap(self._densities_before, in_axes=(0, None))((self.places, self.signs), z)
        return jax.nn.logsumexp(log_q) - jnp.log(len(self.places))

    def _densities_before(self, moved_by: tuple[Array, Array], z: Array) -> tuple[Array, Array]:
        """Log density of q where z was moved from, and that of its wider share over it."""
        places, signs = moved_by
        before = jnp.zeros_like(z).at[places].set(signs * jnp.where(self.mask, z, 0.0))
        noise, log_det = self.posterior.inverse_and_log_det(before)
        return standard_normal_log_prob(noise, self.mask) + log_det, log_wider(noise[None], self.mask)[0]
