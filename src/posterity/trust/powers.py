"""How far weights can be used at once: the largest power of them that leaves enough effective draws.

Raising importance weights to a power below 1 flattens them; their effective sample size falls as the power grows, so
bisection finds the largest power that keeps enough of it (Jasra et al. 2011 choose the steps of tempering so).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

__all__ = ["finite_weights", "largest_power"]

HALVINGS = 30
SMALLEST = 1e-6  # so that weights of zero stay zero, and tempering goes on


def finite_weights(log_weights: Float[Array, "*batch draw"]) -> Float[Array, "*batch draw"]:
    """Weights of zero as logs that no power worth the name can lift, so that 0 times them is 0."""
    return jnp.maximum(log_weights, -1e30)


def largest_power(
    log_weights: Float[Array, "group draw"], enough: float, most: Float[Array, ""] | float = 1.0
) -> Float[Array, ""]:
    """The largest power up to `most` at which every group of draws has `enough` effective ones; 1e-6 at least.

    Args:
        log_weights: Unnormalised, in nats; -inf is a weight of zero.
        enough: Effective draws of each group.
        most: The largest power of use.
    """
    finite, most = finite_weights(log_weights), jnp.asarray(most, log_weights.dtype)

    def serves(power: Array) -> Array:
        weights = jax.nn.softmax(power * finite, axis=1)
        return jnp.min(1.0 / jnp.sum(jnp.square(weights), axis=1)) >= enough

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        good = serves(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    low, _ = lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(most), most))
    return jnp.where(serves(most), most, jnp.clip(low, jnp.minimum(SMALLEST, most), most))
