r"""The rest where it is Gaussian given several scales: solved for anew at every draw of them.

$$\text{rest} \mid \tau \sim N(H^{-1} \lambda, H^{-1}), \quad H = \Lambda(\tau),\ \lambda = \lambda(\tau), \qquad
\text{rest} = H^{-1} \lambda + L^{-\top} e, \quad L L' = H.$$

With several scales the rest may turn with one and shrink with another, by orders of magnitude, as states do along a
time axis whose steps may vanish: interpolation then costs draws, and a small Cholesky factor costs microseconds.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import lax, vmap
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.informed_posterior.algebra.arrow import Factor, Precision
from posterity.informed_posterior.algebra.dense import coloured, gaussian, log_diagonal, stretched
from posterity.informed_posterior.algebra.rows import Arrangement
from posterity.informed_posterior.nest.rest import AbstractRest
from posterity.informed_posterior.read.group_sums import Sums, summed
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
        arrangement: Of the rest where it is an arrow.
        sums: Over them where these are all that it takes, else None.
        model: The model.
        structure: What was read off it; Gaussian given its scales.
    """

    dataset: Dataset
    mask: Bool[Array, " latent"]
    arrangement: Arrangement | None
    sums: Sums | None
    model: Model = eqx.field(static=True)
    structure: Structure = eqx.field(static=True)

    def from_normal(
        self,
        scales: Float[Array, "draw scale"],
        scores: Float[Array, "draw scale"],
        normal: Float[Array, "draw latent"],
    ) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities."""

        def draw(quadratic: tuple[Precision, Array], noise: Array) -> tuple[Array, Array]:
            loc, factor = gaussian(*quadratic)
            return self._at + loc + coloured(factor, noise), self._log_prob(factor, noise)

        noise = normal[:, : self._size]
        # One factor after the other: inside of a loop, batched factorisations may wait for each other for ever.
        if self.arrangement is None and len(scales) * self._size * max(self._size, self._num_terms) <= MOST_IN_MEMORY:
            z, log_q = lax.map(lambda given: draw(*given), (vmap(self._quadratic)(scales), noise))
        else:
            z, log_q = lax.map(lambda given: draw(self._quadratic(given[0]), given[1]), (scales, noise))
        z = jnp.pad(z, ((0, 0), (0, normal.shape[1] - z.shape[1])))
        return jnp.where(self.mask, z, 0.0), log_q

    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""
        loc, factor = gaussian(*self._quadratic(scales))
        return self._log_prob(factor, stretched(factor, jnp.where(self.mask, z, 0.0)[: self._size] - self._at - loc))

    def of_size(self, size: int) -> "ExactRest":
        """The same without padding."""
        return eqx.tree_at(lambda rest: rest.mask, self, self.mask[..., :size])

    @property
    def _size(self) -> int:
        """Length of vectors without padding; an arrow's order has its own."""
        return self.mask.size if self.arrangement is not None else self.model.space.size

    @property
    def _at(self) -> Array:
        """What means are told around."""
        return jnp.zeros(()) if self.sums is None else self.sums.at

    @property
    def _num_terms(self) -> int:
        return self.model.num_terms(self.dataset.row_mask.size)

    def _quadratic(self, scales: Float[Array, " scale"]) -> tuple[Precision, Float[Array, " latent"]]:
        r"""$H$ and $\lambda$."""
        if self.sums is not None:
            linear, precision, _ = summed(self.model, self.structure, scales, self.sums)
            return precision, linear
        space = self.model.space
        origin = jnp.zeros(space.size).at[space.places(self.structure.scale_sites)].set(scales)
        terms = conditional_terms(self.model, self.structure, origin, self.dataset, self.arrangement)
        return terms.precision, terms.linear

    def _log_prob(self, factor: Factor, noise: Float[Array, " latent"]) -> Float[Array, ""]:
        mask = self.mask[: noise.size]
        widths = jnp.where(mask, log_diagonal(factor), 0.0)
        return standard_normal_log_prob(jnp.where(mask, noise, 0.0), mask) + jnp.sum(widths)
