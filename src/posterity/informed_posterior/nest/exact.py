r"""The rest where it is Gaussian given several scales: solved for anew at every draw of them.

$$\text{rest} \mid \tau \sim N(H^{-1} \lambda, H^{-1}), \quad H = \Lambda(\tau),\ \lambda = \lambda(\tau), \qquad
\text{rest} = H^{-1} \lambda + L^{-\top} e, \quad L L' = H.$$

With several scales the rest may turn with one and shrink with another, by orders of magnitude, as states do along a
time axis whose steps may vanish: interpolation then costs draws, and a small Cholesky factor costs microseconds.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import lax, vmap
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.informed_posterior.anchor.anchor import gaussian
from posterity.informed_posterior.nest.rest import AbstractRest
from posterity.informed_posterior.read.structure import Structure, conditional_terms
from posterity.model.dataset import Dataset
from posterity.model.model import Model

__all__ = ["ExactRest"]

MOST_IN_MEMORY = 2**27  # entries of all precisions and designs that are held at once


class ExactRest(AbstractRest):
    """q of the rest by the model itself.

    Attributes:
        dataset: Padded dataset.
        mask: True for the active latents that are no scales.
        model: The model.
        structure: What was read off it; Gaussian given its scales.
    """

    dataset: Dataset
    mask: Bool[Array, " latent"]
    model: Model = eqx.field(static=True)
    structure: Structure = eqx.field(static=True)

    def from_normal(
        self,
        scales: Float[Array, "draw scale"],
        scores: Float[Array, "draw scale"],
        normal: Float[Array, "draw latent"],
    ) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities."""
        size = self.model.space.size

        def draw(quadratic: tuple[Array, Array], noise: Array) -> tuple[Array, Array]:
            loc, factor = gaussian(*quadratic)
            z = loc + solve_triangular(factor, noise, lower=True, trans="T")
            return z, self._log_prob(factor, noise)

        noise = normal[:, :size]
        # One factor after the other: inside of a loop, batched factorisations may wait for each other for ever.
        if len(scales) * size * max(size, self.model.num_terms(self.dataset.row_mask.size)) <= MOST_IN_MEMORY:
            z, log_q = lax.map(lambda given: draw(*given), (vmap(self._quadratic)(scales), noise))
        else:
            z, log_q = lax.map(lambda given: draw(self._quadratic(given[0]), given[1]), (scales, noise))
        z = jnp.pad(z, ((0, 0), (0, normal.shape[1] - size)))
        return jnp.where(self.mask, z, 0.0), log_q

    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""
        size = self.model.space.size
        loc, factor = gaussian(*self._quadratic(scales))
        return self._log_prob(factor, factor.T @ (jnp.where(self.mask, z, 0.0)[:size] - loc))

    def of_size(self, size: int) -> "ExactRest":
        """The same without padding."""
        return eqx.tree_at(lambda rest: rest.mask, self, self.mask[..., :size])

    def _quadratic(
        self, scales: Float[Array, " scale"]
    ) -> tuple[Float[Array, "latent latent"], Float[Array, " latent"]]:
        r"""$H$ and $\lambda$."""
        space = self.model.space
        origin = jnp.zeros(space.size).at[space.places(self.structure.scale_sites)].set(scales)
        terms = conditional_terms(self.model, self.structure, origin, self.dataset)
        return terms.precision, terms.linear

    def _log_prob(self, factor: Float[Array, "latent latent"], noise: Float[Array, " latent"]) -> Float[Array, ""]:
        mask = self.mask[: noise.size]
        widths = jnp.where(mask, jnp.log(jnp.diagonal(factor)), 0.0)
        return standard_normal_log_prob(jnp.where(mask, noise, 0.0), mask) + jnp.sum(widths)
