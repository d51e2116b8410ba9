"""The row lift, where every encoder begins: from a raw row to a vector whose average already says a lot."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.encoders.layers import affine

__all__ = ["RowLift"]


class RowLift(eqx.Module):
    r"""Lifted row $h = A x + a + (B x) \odot (C x)$, products taken entry by entry.

    Averages of $h$ over rows are linear in the first *and second* moments of the rows, and the posterior of a
    regression is a function of just those: $\sum x x'$ and $\sum x y$. A linear lift cannot represent them; a
    network can only approximate them piece by piece. With `f` features, `width >= f (f + 3) / 2` makes all of
    them recoverable from the average; below that the network learns which ones matter.
    """

    linear: eqx.nn.Linear
    left: eqx.nn.Linear | None
    right: eqx.nn.Linear | None

    def __init__(self, feature_size: int, width: int, *, products: bool = True, key: PRNGKeyArray):
        """Weights of the lift.

        Args:
            feature_size: Length of a row.
            width: Length of a lifted row.
            products: False leaves `A x + a` alone, for ablations.
            key: Consumed for the initial weights.
        """
        linear_key, left_key, right_key = random.split(key, 3)
        self.linear = eqx.nn.Linear(feature_size, width, key=linear_key)
        self.left = self.right = None
        if products:
            self.left = eqx.nn.Linear(feature_size, width, use_bias=False, key=left_key)
            self.right = eqx.nn.Linear(feature_size, width, use_bias=False, key=right_key)

    def __call__(self, rows: Float[Array, "obs feature"], mask: Bool[Array, " obs"]) -> Float[Array, "obs width"]:
        """Lifted rows. Padded rows become zeros first: garbage in them (1e6, NaN) goes no further."""
        rows = jnp.where(mask[:, None], rows, 0.0)
        lifted = affine(self.linear, rows)
        if self.left is None or self.right is None:
            return lifted
        return lifted + affine(self.left, rows) * affine(self.right, rows)
