"""Base noise: the random numbers behind the draws of one dataset, made outside of all compiled programs.

They are an argument of the programs that bend them, so that no generator is compiled, and each dataset has its own,
whatever is computed beside it.
"""

import abc
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, Int, PRNGKeyArray

from posterity.amortized.families.base import AbstractPosterior
from posterity.model.dataset import AnyArray

__all__ = ["NUM_BLOCKS", "AbstractNoisePosterior", "BaseNoise", "base_noise"]

NUM_BLOCKS = 4
"""Draws come in this many blocks of equal size: those of a scale's quarters share what costs most."""


class BaseNoise(NamedTuple):
    """Random numbers for some draws, a multiple of `NUM_BLOCKS`.

    Attributes:
        normal: Standard normal, independent.
        uniform: In (0, 1); of each column, one in each of equally wide intervals. The first ascends, the others come
            in random orders (a Latin hypercube).
        order: Which draws to hand out, in random order: a permutation, or a part of one.
    """

    normal: Float[AnyArray, "draw latent"]
    uniform: Float[AnyArray, "draw number"]
    order: Int[AnyArray, " out"]


def base_noise(rng: np.random.Generator, num_draws: int, size: int, num_uniform: int) -> BaseNoise:
    """Noise of one dataset.

    Args:
        rng: Consumed here.
        num_draws: Draws that are handed out.
        size: Latents.
        num_uniform: Uniform numbers of each draw.
    """
    total = -(-num_draws // NUM_BLOCKS) * NUM_BLOCKS
    uniform = _stratified(rng.random((total, num_uniform), dtype=np.float32), np)
    uniform[:, 1:] = rng.permuted(uniform[:, 1:], axis=0)
    order = rng.permutation(total)[:num_draws].astype(np.int32)
    numbers: tuple[Any, ...] = rng.standard_normal((total, size), dtype=np.float32), uniform, order
    return BaseNoise(*numbers)


def _noise_of_key(rng_key: PRNGKeyArray, num_draws: int, size: int, num_uniform: int) -> BaseNoise:
    key_normal, key_uniform, key_shuffle, key_order = random.split(rng_key, 4)
    total = -(-num_draws // NUM_BLOCKS) * NUM_BLOCKS
    uniform = _stratified(random.uniform(key_uniform, (total, num_uniform)), jnp)
    others = random.permutation(key_shuffle, uniform[:, 1:], axis=0, independent=True)
    uniform = jnp.concatenate([uniform[:, :1], others], axis=1)
    order = random.permutation(key_order, total)[:num_draws]
    return BaseNoise(random.normal(key_normal, (total, size)), uniform, order)


def _stratified(uniform: Any, numpy: Any) -> Any:
    """Of each column, one number in each of as many intervals of (0, 1), ascending; by NumPy or its twin of JAX."""
    total = uniform.shape[0]
    return numpy.clip((numpy.arange(total, dtype=numpy.float32)[:, None] + uniform) / total, 1e-7, 1.0 - 1e-7)


class AbstractNoisePosterior(AbstractPosterior):
    """A posterior whose draws are functions of base noise."""

    @property
    @abc.abstractmethod
    def num_uniform(self) -> int:
        """Uniform numbers that each draw takes, beside one normal number for each latent."""

    @abc.abstractmethod
    def from_noise(self, noise: BaseNoise) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws in the order of the noise, and their log densities in nats."""

    @abc.abstractmethod
    def of_size(self, size: int) -> "AbstractNoisePosterior":
        """The same without latents beyond the first few, which are masked."""

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities."""
        noise = _noise_of_key(rng_key, num_samples, self.mask.size, self.num_uniform)
        z, log_q = self.from_noise(noise)
        return z[noise.order], log_q[noise.order]
