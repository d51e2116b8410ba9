"""Last layers that start a posterior at the standard normal, and the numbers they put out."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import random
from jax.nn import softplus
from jaxtyping import Array, Float

from posterity.runtime.errors import InputError

__all__ = ["check_sizes", "positive_scale", "zero_linear"]

_SMALLEST_SCALE = 1e-6
_RAW_OF_ONE = math.log(math.e - 1.0)  # softplus of this is 1


def zero_linear(in_size: int, out_size: int) -> eqx.nn.Linear:
    """Linear layer whose weight and bias start at 0, so that its output starts at 0 for every input."""
    # Shapes only: compiling random numbers for nothing would take most of the time of building a family.
    shapes = eqx.filter_eval_shape(eqx.nn.Linear, in_size, out_size, key=random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def positive_scale(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """Standard deviations from unconstrained numbers: 1 at 0, exponential below, linear above, at least 1e-6.

    The linear side keeps one bad step from multiplying a scale by e^10; the floor bounds the log density.
    """
    return _SMALLEST_SCALE + (1.0 - _SMALLEST_SCALE) * softplus(raw + _RAW_OF_ONE)


def check_sizes(**sizes: int) -> None:
    """Raise `InputError` for a size below 1, naming it."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"posterior family: `{name}` must be at least 1; got {size}.")
