"""The trunk: from moments of a dataset to the parameters of its posterior."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.encoders.layers import Stack

__all__ = ["Trunk"]


class ProductBlock(eqx.Module):
    r"""Residual block $v + W ((A \hat v + a) \odot (B \hat v + b))$, with $\hat v$ scaled to unit mean square."""

    inner: eqx.nn.Linear
    outer: eqx.nn.Linear

    def __init__(self, width: int, *, key: PRNGKeyArray):
        """Weights of the block.

        Args:
            width: Size of its input, its output and each factor.
            key: Consumed for the initial weights.
        """
        inner_key, outer_key = random.split(key)
        self.inner = eqx.nn.Linear(width, 2 * width, key=inner_key)
        self.outer = eqx.nn.Linear(width, width, key=outer_key)

    def __call__(self, values: Float[Array, " width"]) -> Float[Array, " width"]:
        """Updated values."""
        unit = values * lax.rsqrt(jnp.mean(jnp.square(values)) + 1e-6)
        left, right = jnp.split(self.inner(unit), 2)
        return values + self.outer(left * right)


class Trunk(eqx.Module):
    r"""Context $= P_d(\dots P_1(W v))$: a residual network whose only nonlinearity is multiplication.

    Posteriors of regressions are rational functions of the moments of the data (a matrix inverse, a product of
    it with a vector), which a few multiplications approximate well and ReLUs only piece by piece: in equal time
    on linear regression, blocks of the same size with ReLUs stayed much further from the posterior. Each
    block rescales its input, so products cannot run away.
    """

    project: eqx.nn.Linear
    blocks: Stack
    width: int = eqx.field(static=True)

    def __init__(self, input_size: int, *, width: int = 256, depth: int = 4, key: PRNGKeyArray):
        """Weights of the trunk.

        Args:
            input_size: Size of the embedding and what is appended to it.
            width: Size of the context.
            depth: Number of product blocks.
            key: Consumed for the initial weights.
        """
        project_key, blocks_key = random.split(key)
        self.project = eqx.nn.Linear(input_size, width, key=project_key)
        self.blocks = Stack(lambda key: ProductBlock(width, key=key), depth, key=blocks_key)
        self.width = width

    def __call__(self, values: Float[Array, " input"]) -> Float[Array, " width"]:
        """Context of one dataset."""
        return self.blocks(self.project(values))
