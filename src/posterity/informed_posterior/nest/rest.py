"""What a nested posterior asks of q(rest | scales)."""

import abc

import equinox as eqx
from jaxtyping import Array, Bool, Float

__all__ = ["AbstractRest"]


class AbstractRest(eqx.Module):
    """q of the rest, given scales that are also told as standard normal scores."""

    mask: eqx.AbstractVar[Bool[Array, " latent"]]
    """True for the active latents that are no scales."""

    @abc.abstractmethod
    def from_normal(
        self,
        scales: Float[Array, "draw scale"],
        scores: Float[Array, "draw scale"],
        normal: Float[Array, "draw latent"],
    ) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities in nats, one for each draw of the scales.

        Args:
            scales: In ascending order of the first score.
            scores: Of the scales under q.
            normal: Standard normal numbers, 0 where masked.
        """

    @abc.abstractmethod
    def log_prob(
        self, z: Float[Array, " latent"], scales: Float[Array, " scale"], scores: Float[Array, " scale"]
    ) -> Float[Array, ""]:
        """Log density of the unmasked entries of `z`, in nats."""

    @abc.abstractmethod
    def of_size(self, size: int) -> "AbstractRest":
        """The same without padding."""
