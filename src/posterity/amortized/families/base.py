"""What a posterior family is: a conditional head that turns an embedding into q(z | D).

Everything here is written for one dataset, whose latents are one flat unconstrained vector `z` of shape
`(latent,)`; `vmap` adds datasets at the edge. A `mask` says which latents the dataset has: the others (the
weights of features that it lacks, say) are no part of q. They count nothing in `log_prob`, whatever they
hold, and are exactly 0 in every draw.
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import random, vmap
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.noise import BaseNoise, noise_of_key
from posterity.amortized.families.wider import log_wider, stretched

__all__ = [
    "AbstractFamily",
    "AbstractNoisePosterior",
    "AbstractPosterior",
    "AbstractTransport",
    "WideDraws",
    "standard_normal_log_prob",
]


class WideDraws(NamedTuple):
    """Draws of q with its wider share.

    Attributes:
        z: Unconstrained.
        log_q: Log density of q, in nats.
        log_wider: Log density of the wider draws, over that of q.
    """

    z: Float[Array, "draw latent"]
    log_q: Float[Array, " draw"]
    log_wider: Float[Array, " draw"]


class AbstractPosterior(eqx.Module):
    """An approximate posterior q(z | D) of one dataset.

    It is a plain pytree of arrays, so `tree_map(stop_gradient, q).log_prob(z)` is the log density whose
    parameters are held fixed (sticking the landing).
    """

    mask: eqx.AbstractVar[Bool[Array, " latent"]]

    def sample(self, rng_key: PRNGKeyArray, num_samples: int) -> Float[Array, "sample latent"]:
        """Independent draws of `z`, differentiable in the parameters of q."""
        return self.sample_and_log_prob(rng_key, num_samples)[0]

    @abc.abstractmethod
    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Independent draws of `z` with their log densities, for less than `sample` and `log_prob` apart."""

    @abc.abstractmethod
    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats; its inactive entries may hold anything."""


class AbstractNoisePosterior(AbstractPosterior):
    """A posterior whose draws are functions of base noise, and can therefore be made wider."""

    @property
    def num_uniform(self) -> int:
        """Uniform numbers that each draw takes, beside one normal number for each latent."""
        return 0

    @property
    def num_scores(self) -> int:
        """How many of them, the first, are probabilities of scales."""
        return 0

    @abc.abstractmethod
    def from_noise(self, noise: BaseNoise) -> WideDraws:
        """Draws in the order of the noise, with their log densities."""

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws of q alone, with their log densities."""
        noise = noise_of_key(rng_key, num_samples, self.mask.shape[0], self.num_uniform)
        z, log_q, _ = self.from_noise(noise)
        return z[noise.order], log_q[noise.order]


class AbstractFamily(eqx.Module):
    """The conditional head of an estimator: embedding of a dataset -> q(z | D).

    Concrete families are built by `Family(latent_size, context_size, *, <options>, key)`. Before training
    they give the standard normal, whatever the context.
    """

    @abc.abstractmethod
    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> AbstractPosterior:
        """Posterior of one dataset.

        Args:
            context: The encoder's embedding of the dataset.
            mask: True for the latents that this dataset has.
        """


class AbstractTransport(AbstractNoisePosterior):
    r"""A posterior that moves standard normal noise: $z = T(e)$ with $e \sim N(0, I)$ on the active latents.

    A subclass gives the bijection $T$ and its inverse; both receive 0 at inactive entries, and must return 0
    there and leave them out of the log-det.
    """

    @abc.abstractmethod
    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        r"""$T(e)$ and $\log |\det \partial T / \partial e|$ over the active latents."""

    @abc.abstractmethod
    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        r"""$T^{-1}(z)$ and $\log |\det \partial T^{-1} / \partial z|$ over the active latents."""

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities, which come from the forward pass: nothing is inverted."""
        return self._moved(random.normal(rng_key, (num_samples, self.mask.shape[0])))

    def from_noise(self, noise: BaseNoise) -> WideDraws:
        """Draws in the order of the noise, with their log densities."""
        normal = stretched(noise, self.mask)
        return WideDraws(*self._moved(normal), log_wider(normal, self.mask))

    def transform_many(
        self, noise: Float[Array, "sample latent"]
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """`transform_and_log_det` of many points."""
        return vmap(self.transform_and_log_det)(noise)

    def _moved(
        self, noise: Float[Array, "sample latent"]
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        noise = jnp.where(self.mask, noise, 0.0)
        z, log_det = self.transform_many(noise)
        return z, vmap(standard_normal_log_prob, in_axes=(0, None))(noise, self.mask) - log_det

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats, by the change of variables."""
        # Replacing the inactive entries first, not their results, keeps a NaN there out of the gradient too.
        noise, log_det = self.inverse_and_log_det(jnp.where(self.mask, z, 0.0))
        return standard_normal_log_prob(noise, self.mask) + log_det


def standard_normal_log_prob(noise: Float[Array, " latent"], mask: Bool[Array, " latent"]) -> Float[Array, ""]:
    """Log density of the active entries under independent standard normals, in nats."""
    log_densities = -0.5 * jnp.square(noise) - 0.5 * math.log(2.0 * math.pi)
    return jnp.sum(jnp.where(mask, log_densities, 0.0))
