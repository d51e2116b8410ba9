"""Improper priors, which cannot be drawn: their latents start near zero, unconstrained, as HMC's do."""

from typing import Any

import jax.numpy as jnp
from jax import random
from jaxtyping import Array
from numpyro.distributions import (
    Distribution,
    ExpandedDistribution,
    ImproperUniform,
    Independent,
    MaskedDistribution,
    biject_to,
)
from numpyro.primitives import Messenger

__all__ = ["StartImproper", "base_distribution", "is_improper"]


def base_distribution(distribution: Distribution) -> Distribution:
    """The distribution inside `expand`, `to_event` and `mask`; transformed ones are kept whole."""
    while isinstance(distribution, (ExpandedDistribution, Independent, MaskedDistribution)):
        distribution = distribution.base_dist
    return distribution


def is_improper(distribution: Distribution) -> bool:
    """Whether a prior is flat over an unbounded support, and cannot be drawn from."""
    return isinstance(base_distribution(distribution), ImproperUniform)


class _Flat(ImproperUniform):
    """An improper prior that does not ask whether a value lies in its support: constrained ones do."""

    def log_prob(self, value: Array) -> Array:
        """0 in nats, without a look at the value: nothing to trace, and nothing that depends on it."""
        return jnp.zeros(jnp.shape(value)[: jnp.ndim(value) - self.event_dim])


class StartImproper(Messenger):
    """Gives latents with improper priors a value: what `biject_to` makes of standard normal noise.

    To be entered outside of `seed`, whose keys it takes; latents that have a value keep it.
    """

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Sets the value of a latent site whose prior is improper."""
        if msg["type"] != "sample" or not is_improper(msg["fn"]):
            return
        prior = msg["fn"]
        msg["fn"] = _Flat(prior.support, prior.batch_shape, prior.event_shape)
        if msg["value"] is None:
            bijector = biject_to(prior.support)
            shape = (*msg["kwargs"]["sample_shape"], *prior.shape())
            msg["value"] = bijector(random.normal(msg["kwargs"]["rng_key"], bijector.inverse_shape(shape)))
