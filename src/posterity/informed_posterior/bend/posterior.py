"""The posterior of one dataset given its scale latents: anchor and row map together."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import AbstractNoisePosterior, AbstractTransport
from posterity.informed_posterior.algebra.dense import spread_of
from posterity.informed_posterior.anchor.anchor import Anchor
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.model.dataset import AnyArray

__all__ = ["AnchoredPosterior"]


class AnchoredPosterior(AbstractTransport):
    r"""$z = z^* + L^{-\top} u$ with $u = T(e)$.

    Attributes:
        loc: $z^*$.
        factor: $L$.
        spread: $L^{-\top}$: with as many right sides as draws, a product costs a tenth of a solution.
        row_map: $T$.
    """

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]
    spread: Float[Array, "latent latent"]
    row_map: RowMap

    def __init__(
        self,
        loc: Float[Array, " latent"],
        factor: Float[Array, "latent latent"],
        spread: Float[Array, "latent latent"],
        row_map: RowMap,
    ):
        """Posterior of given parts; see `around`."""
        self.loc, self.factor, self.spread, self.row_map = loc, factor, spread, row_map

    @classmethod
    def around(cls, anchor: Anchor, row_map: RowMap) -> "AnchoredPosterior":
        """Posterior around an anchor.

        Args:
            anchor: Where it is, and how wide.
            row_map: How it is bent.
        """
        return cls(anchor.loc, anchor.factor, spread_of(anchor.factor), row_map)

    @property
    def mask(self) -> Bool[AnyArray, "*dataset latent"]:
        """True for active latents."""
        return self.row_map.mask

    # By the noise of its own, as what ships was checked with.
    sample_and_log_prob = AbstractNoisePosterior.sample_and_log_prob

    def transform_many(
        self, noise: Float[Array, "sample latent"]
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Noise to latents with log-dets, for all draws at once."""
        u, log_det = self.row_map.transform_many(noise)
        return jnp.where(self.mask, self.loc + u @ self.spread.T, 0.0), log_det - self._log_det()

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Noise to latents."""
        u, log_det = self.row_map.transform_and_log_det(noise)
        z = self.loc + self.spread @ u
        return jnp.where(self.mask, z, 0.0), log_det - self._log_det()

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Latents to noise."""
        u = jnp.where(self.mask, self.factor.T @ (z - self.loc), 0.0)
        noise, log_det = self.row_map.inverse_and_log_det(u)
        return noise, log_det + self._log_det()

    def of_size(self, size: int) -> "AnchoredPosterior":
        """The same without padding."""
        square = slice(size), slice(size)
        return dataclasses.replace(
            self,
            loc=self.loc[:size],
            factor=self.factor[square],
            spread=self.spread[square],
            row_map=self.row_map.of_size(size),
        )

    def _log_det(self) -> Float[Array, ""]:
        return jnp.sum(jnp.where(self.mask, jnp.log(jnp.diagonal(self.factor)), 0.0))
