"""A posterior family in the prior's own units."""

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import AbstractFamily, AbstractPosterior, AbstractTransport

__all__ = ["StandardizedFamily", "StandardizedPosterior"]


class StandardizedPosterior(AbstractTransport):
    r"""Posterior of $z = \mu_0 + \sigma_0 v$, given one of $v$.

    $\log q(z) = \log q_v(v) - \sum_j \log \sigma_{0,j}$ over the active latents $j$.
    """

    posterior: AbstractTransport
    loc: Float[Array, " latent"]
    scale: Float[Array, " latent"]

    def __init__(self, posterior: AbstractPosterior, loc: Float[Array, " latent"], scale: Float[Array, " latent"]):
        """Shifted and scaled `posterior`.

        Args:
            posterior: Posterior of `v`, one that moves noise; its mask is also that of `z`.
            loc: Of `z` where `v` is 0; ignored at inactive latents.
            scale: Units of `v`, positive; ignored at inactive latents.
        """
        assert isinstance(posterior, AbstractTransport)
        self.posterior = posterior
        self.loc = jnp.where(posterior.mask, loc, 0.0)
        self.scale = jnp.where(posterior.mask, scale, 1.0)

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.posterior.mask

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Noise to `z`."""
        v, log_det = self.posterior.transform_and_log_det(noise)
        return self.loc + self.scale * v, log_det + self._log_det()

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """`z` to noise."""
        noise, log_det = self.posterior.inverse_and_log_det((z - self.loc) / self.scale)
        return noise, log_det - self._log_det()

    def _log_det(self) -> Float[Array, ""]:
        return jnp.sum(jnp.log(self.scale))


class StandardizedFamily(AbstractFamily):
    """Any family, over latents measured from the prior's location in units of the prior's scale.

    Before training it gives N(loc, scale^2), near the prior, rather than the standard normal: less to learn
    when latents live on different scales. `loc` and `scale` are constants, whose gradient is 0.
    """

    family: AbstractFamily
    loc: Float[Array, " latent"]
    scale: Float[Array, " latent"]

    def __init__(self, family: AbstractFamily, loc: Float[Array, " latent"], scale: Float[Array, " latent"]):
        """Family over `z = loc + scale * v` from one over `v`.

        Args:
            family: Family over `v`.
            loc: Location of the prior of `z`.
            scale: Scale of the prior of `z`, positive.
        """
        self.family = family
        self.loc = loc
        self.scale = scale

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> StandardizedPosterior:
        """Posterior of one dataset."""
        posterior = self.family(context, mask)
        return StandardizedPosterior(posterior, stop_gradient(self.loc), stop_gradient(self.scale))
