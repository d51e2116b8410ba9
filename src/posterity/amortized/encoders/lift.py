"""The row lift, where every encoder begins: from raw rows, padding removed, to vectors of its width."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.layers import affine

__all__ = ["RowLift"]


class RowLift(eqx.Module):
    """Linear map of each real row; padded rows count as zeros."""

    linear: eqx.nn.Linear

    def __init__(self, feature_size: int, width: int, *, key: PRNGKeyArray):
        """Weights of the lift.

        Args:
            feature_size: Length of a row.
            width: Length of a lifted row.
            key: Consumed for the initial weights.
        """
        self.linear = eqx.nn.Linear(feature_size, width, key=key)

    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch obs width"]:
        """Lifted rows. Padded rows become zeros first: garbage in them (1e6, NaN) goes no further."""
        return affine(self.linear, jnp.where(mask[..., None], rows, 0.0))
