"""Families and an objective that the library lacks: mixtures of two, and a likelihood that comes in by and by."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import random, vmap
from jaxtyping import Array, Bool, Float, PRNGKeyArray

import posterity
from posterity.amortized.families import AbstractFamily, AbstractPosterior, StandardizedFamily
from posterity.amortized.objectives import AbstractObjective
from posterity.model.dataset import Dataset

__all__ = ["Pair", "PairFamily", "Swapped", "SwappedFamily", "Tempered", "nudged"]


class Swapped(AbstractPosterior):
    r"""$q(z) = \frac12 (q_0(z) + q_0(S z))$, where $S$ swaps the labels: as symmetric as the posterior itself.

    Draws come with the labels in either order in turns; their number should be even.

    Attributes:
        inner: $q_0$.
        swap: $S$ as an order of the coordinates of z, its own inverse.
    """

    inner: AbstractPosterior
    swap: tuple[int, ...] = eqx.field(static=True)

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.inner.mask

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities."""
        z = self.inner.sample(rng_key, num_samples)
        turns = (jnp.arange(num_samples) % 2 == 0)[:, None]
        z = jnp.where(turns, z, z[:, jnp.asarray(self.swap)])
        return z, vmap(self.log_prob)(z)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density in nats."""
        both = jnp.logaddexp(self.inner.log_prob(z), self.inner.log_prob(z[jnp.asarray(self.swap)]))
        return both - jnp.log(2.0)


class SwappedFamily(AbstractFamily):
    """Any family, made symmetric."""

    inner: AbstractFamily
    swap: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> Swapped:
        """Posterior of one dataset."""
        return Swapped(self.inner(context, mask), self.swap)


class Pair(AbstractPosterior):
    """Equal mixture of two posteriors that are free to go where they like.

    Draws come from the two in turns, which keeps them differentiable; their number should be even.
    """

    first: AbstractPosterior
    second: AbstractPosterior

    @property
    def mask(self) -> Bool[Array, " latent"]:
        """True for active latents."""
        return self.first.mask

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities."""
        key_first, key_second = random.split(rng_key)
        turns = (jnp.arange(num_samples) % 2 == 0)[:, None]
        z = jnp.where(turns, self.first.sample(key_first, num_samples), self.second.sample(key_second, num_samples))
        return z, vmap(self.log_prob)(z)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density in nats."""
        return jnp.logaddexp(self.first.log_prob(z), self.second.log_prob(z)) - jnp.log(2.0)


class PairFamily(AbstractFamily):
    """Two families side by side."""

    first: AbstractFamily
    second: AbstractFamily

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> Pair:
        """Posterior of one dataset."""
        return Pair(self.first(context, mask), self.second(context, mask))


def nudged(family: AbstractFamily, rng_key: PRNGKeyArray, size: float = 0.02) -> AbstractFamily:
    """The family with a little noise on its weights, so that the members of a pair are not the same for ever."""
    if isinstance(family, StandardizedFamily):  # its location and scale are no weights
        return eqx.tree_at(lambda f: f.family, family, nudged(family.family, rng_key, size))
    weights, rest = eqx.partition(family, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(weights)
    keys = random.split(rng_key, len(leaves))
    noisy = [leaf + size * random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, noisy), rest)


@dataclasses.dataclass(frozen=True)
class Tempered(AbstractObjective):
    r"""Reverse KL to $p(z)\, p(D \mid z)^\beta$, where $\beta$ rises linearly from 0 to 1.

    At first q is the prior, which has all modes in it. In a mixture the entropy is a repulsion: members that cover
    the same place pay up to log 2, and while $\beta$ is small they part for less than that.

    Attributes:
        num_samples: Draws per dataset and step.
        share: Of the budget, over which the likelihood comes in.
    """

    num_samples: int = 4
    share: float = 0.5

    @property
    def needs_latents(self) -> bool:
        """False: any stream of datasets will do."""
        return False

    def loss(
        self,
        model: posterity.Model,
        q: AbstractPosterior,
        dataset: Dataset,
        z: Float[Array, " latent"] | None,
        *,
        progress: Float[Array, ""],
        rng_key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        """Mean over draws of log q - log prior - beta log likelihood."""
        draws, log_q = q.sample_and_log_prob(rng_key, self.num_samples)
        log_prior, rows = vmap(model.log_prior_and_likelihood, in_axes=(0, None))(draws, dataset)
        beta = jnp.minimum(1.0, progress / self.share)
        return jnp.mean(log_q - log_prior - beta * jnp.sum(rows, axis=1))
