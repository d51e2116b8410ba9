"""Keeping numbers in a range where float32 and exp behave, without a gradient that dies."""

import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["soft_limit"]


def soft_limit(values: Float[Array, "..."], bound: float) -> Float[Array, "..."]:
    """Identity up to `bound` in absolute value; beyond it grows like the logarithm, with equal slope at the seam."""
    beyond = jnp.maximum(jnp.abs(values) - bound, 0.0)
    return jnp.clip(values, -bound, bound) + jnp.sign(values) * jnp.log1p(beyond)
