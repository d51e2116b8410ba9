"""A posterior family in the prior's own units."""

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractFamily, AbstractPosterior

__all__ = ["StandardizedFamily", "StandardizedPosterior"]


class StandardizedPosterior(AbstractPosterior):
    r"""Posterior of $z = \mu_0 + \sigma_0 v$, given one of $v$.

    $\log q(z) = \log q_v(v) - \sum_j \log \sigma_{0,j}$ over the active latents $j$.
    """

    posterior: AbstractPosterior
    loc: Float[Array, " latent"]
    scale: Float[Array, " latent"]

    def __init__(self, posterior: AbstractPosterior, loc: Float[Array, " latent"], scale: Float[Array, " latent"]):
        """Shifted and scaled `posterior`.

        Args:
            posterior: Posterior of `v`; its mask is also that of `z`.
            loc: Of `z` where `v` is 0; ignored at inactive latents.
            scale: Units of `v`, positive; ignored at inactive latents.
        """
        self.posterior = posterior
        self.loc = jnp.where(posterior.mask, loc, 0.0)
        self.scale = jnp.where(posterior.mask, scale, 1.0)

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.posterior.mask

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws of `z` with their log densities."""
        v, log_prob = self.posterior.sample_and_log_prob(rng_key, num_samples)
        return self.loc[None, :] + self.scale[None, :] * v, log_prob - self._log_det()

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        v = (jnp.where(self.mask, z, 0.0) - self.loc) / self.scale
        return self.posterior.log_prob(v) - self._log_det()

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
