r"""Full-covariance Gaussian: $q(z \mid D) = N(z; \mu, L L^\top)$ over the active latents."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractFamily, AbstractTransport
from posterity.amortized.families.heads import check_sizes, positive_scale, zero_linear

__all__ = ["FullFamily", "FullGaussian"]


class FullGaussian(AbstractTransport):
    r"""Gaussian with covariance $L_{SS} L_{SS}^\top$ over the active latents $S$.

    Rows and columns of inactive latents are those of the identity in `scale_tril`, so that products, solves
    and the log-det leave them alone.
    """

    loc: Float[Array, " latent"]
    scale_tril: Float[Array, "latent latent"]
    mask: Bool[Array, " latent"]

    def __init__(
        self,
        loc: Float[Array, " latent"],
        scale_tril: Float[Array, "latent latent"],
        mask: Bool[Array, " latent"],
    ):
        """Gaussian over the active latents.

        Args:
            loc: Means.
            scale_tril: Lower-triangular factor of the covariance with a positive diagonal.
            mask: True for active latents; entries of `loc` and `scale_tril` are ignored elsewhere.
        """
        self.loc = jnp.where(mask, loc, 0.0)
        active = mask[:, None] & mask[None, :]
        self.scale_tril = jnp.where(active, scale_tril, jnp.eye(mask.shape[0]))
        self.mask = mask

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """`loc + L @ noise`."""
        return self.loc + self.scale_tril @ noise, self._log_det()

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """`L^-1 (z - loc)`."""
        return solve_triangular(self.scale_tril, z - self.loc, lower=True), -self._log_det()

    def _log_det(self) -> Float[Array, ""]:
        return jnp.sum(jnp.log(jnp.diagonal(self.scale_tril)))


class FullFamily(AbstractFamily):
    r"""One linear map of the embedding to the mean and the Cholesky factor.

    $L = \mathrm{diag}(\sigma) (I + N)$ with $N$ strictly lower-triangular: what the head puts out below the
    diagonal is relative to the scale of its row, so it need not shrink as posteriors narrow with more data.
    """

    head: eqx.nn.Linear

    def __init__(self, latent_size: int, context_size: int, *, key: PRNGKeyArray):
        """Family over `latent_size` latents that reads embeddings of `context_size` numbers."""
        del key  # nothing is drawn
        check_sizes(latent_size=latent_size, context_size=context_size)
        num_below = latent_size * (latent_size - 1) // 2
        self.head = zero_linear(context_size, 2 * latent_size + num_below)

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> FullGaussian:
        """Gaussian of one dataset."""
        size = mask.shape[0]
        loc, raw_scale, below = jnp.split(self.head(context), [size, 2 * size])
        unit_tril = jnp.eye(size).at[np.tril_indices(size, k=-1)].set(below)
        return FullGaussian(loc, positive_scale(raw_scale)[:, None] * unit_tril, mask)
