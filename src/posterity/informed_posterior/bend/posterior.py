"""The posterior of one dataset given its scale latents: anchor and row map together."""

import jax.numpy as jnp
from jax import random, vmap
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractTransport, standard_normal_log_prob
from posterity.informed_posterior.anchor.anchor import Anchor
from posterity.informed_posterior.bend.row_map import RowMap

__all__ = ["AnchoredPosterior"]


class AnchoredPosterior(AbstractTransport):
    r"""$z = z^* + L^{-\top} u$ with $u = T(e)$.

    Attributes:
        loc: $z^*$.
        factor: $L$.
        row_map: $T$.
    """

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]
    row_map: RowMap

    def __init__(self, anchor: Anchor, row_map: RowMap):
        """Posterior around an anchor.

        Args:
            anchor: Where it is, and how wide.
            row_map: How it is bent.
        """
        self.loc, self.factor, self.row_map = anchor.loc, anchor.factor, row_map

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.row_map.mask

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities."""
        noise = jnp.where(self.mask, random.normal(rng_key, (num_samples, self.mask.size)), 0.0)
        z, log_det = self.transform_many(noise)
        return z, vmap(standard_normal_log_prob, in_axes=(0, None))(noise, self.mask) - log_det

    def transform_many(
        self, noise: Float[Array, "sample latent"]
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Noise to latents with log-dets, for all draws at once."""
        u, log_det = self.row_map.transform_many(noise)
        z = self.loc + solve_triangular(self.factor, u.T, lower=True, trans=1).T
        return jnp.where(self.mask, z, 0.0), log_det - self._log_det()

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Noise to latents."""
        u, log_det = self.row_map.transform_and_log_det(noise)
        z = self.loc + solve_triangular(self.factor, u, lower=True, trans=1)
        return jnp.where(self.mask, z, 0.0), log_det - self._log_det()

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Latents to noise."""
        u = jnp.where(self.mask, self.factor.T @ (z - self.loc), 0.0)
        noise, log_det = self.row_map.inverse_and_log_det(u)
        return noise, log_det + self._log_det()

    def _log_det(self) -> Float[Array, ""]:
        return jnp.sum(jnp.where(self.mask, jnp.log(jnp.diagonal(self.factor)), 0.0))
