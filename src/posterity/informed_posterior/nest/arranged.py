"""The rest in another order than that of `z`: groups first, as arrows have it."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from posterity.informed_posterior.algebra.rows import Ties, tied, untied
from posterity.informed_posterior.nest.rest import AbstractRest

__all__ = ["ArrangedRest"]


class ArrangedRest(AbstractRest):
    """q of the rest by one that has an order of its own.

    Attributes:
        rest: In its own order.
        mask: True for the active latents that are no scales, in the order of `z`.
        from_z: Coordinate of `z` of each entry, beyond the last for padding.
        to_z: Entry of each coordinate of `z`, beyond the last where there is none.
        ties: Of groups to the border, see `Arrangement`.
    """

    rest: AbstractRest
    mask: Bool[Array, " latent"]
    from_z: Int[Array, " entry"]
    to_z: Int[Array, " latent"]
    ties: Ties | None

    def from_normal(
        self,
        scales: Float[Array, "draw scale"],
        scores: Float[Array, "draw scale"],
        normal: Float[Array, "draw latent"],
    ) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities."""
        own, log_q = self.rest.from_normal(scales, scores, _taken(normal, self.from_z))
        return _taken(tied(own, self.ties), self.to_z), log_q

    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""
        return self.rest.log_prob(untied(_taken(z, self.from_z), self.ties), scales, scores)

    def of_size(self, size: int) -> "ArrangedRest":
        """Itself: it has no padding in the order of `z`."""
        return self


def _taken(array: Array, index: Array) -> Array:
    return jnp.take(array, index, axis=-1, mode="fill", fill_value=0.0)
