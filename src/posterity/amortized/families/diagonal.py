r"""Diagonal Gaussian: $q(z \mid D) = \prod_j N(z_j; \mu_j, \sigma_j^2)$, the paper's first family."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractFamily, AbstractTransport
from posterity.amortized.families.heads import check_sizes, positive_scale, zero_linear

__all__ = ["DiagonalFamily", "DiagonalGaussian"]


class DiagonalGaussian(AbstractTransport):
    """Independent Gaussians, one per active latent; inactive latents hold loc 0 and scale 1."""

    loc: Float[Array, " latent"]
    scale: Float[Array, " latent"]
    mask: Bool[Array, " latent"]

    def __init__(self, loc: Float[Array, " latent"], scale: Float[Array, " latent"], mask: Bool[Array, " latent"]):
        """Gaussian over the active latents.

        Args:
            loc: Means.
            scale: Standard deviations, positive.
            mask: True for active latents; `loc` and `scale` are ignored elsewhere.
        """
        self.loc = jnp.where(mask, loc, 0.0)
        self.scale = jnp.where(mask, scale, 1.0)
        self.mask = mask

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """`loc + scale * noise`."""
        return self.loc + self.scale * noise, jnp.sum(jnp.log(self.scale))

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """`(z - loc) / scale`."""
        return (z - self.loc) / self.scale, -jnp.sum(jnp.log(self.scale))


class DiagonalFamily(AbstractFamily):
    """One linear map of the embedding to the means and scales."""

    head: eqx.nn.Linear

    def __init__(self, latent_size: int, context_size: int, *, key: PRNGKeyArray):
        """Family over `latent_size` latents that reads embeddings of `context_size` numbers."""
        del key  # nothing is drawn
        check_sizes(latent_size=latent_size, context_size=context_size)
        self.head = zero_linear(context_size, 2 * latent_size)

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> DiagonalGaussian:
        """Gaussian of one dataset."""
        loc, raw_scale = jnp.split(self.head(context), 2)
        return DiagonalGaussian(loc, positive_scale(raw_scale), mask)
