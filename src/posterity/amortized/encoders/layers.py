"""Layers that all encoders share: masked mean, normalisation, residual blocks and stacks of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

__all__ = ["FeedForward", "Stack", "affine", "masked_mean", "normalise", "num_pairs", "second_moments"]


def affine(layer: eqx.nn.Linear, values: Float[Array, "*rows width"]) -> Float[Array, "*rows out"]:
    """`layer` applied to the last axis: `W v + b` for a vector, or for every row of a matrix.

    One product `V W'` rather than a vmap of `W v`: on CPU, XLA transposes the batch around the latter, which
    makes training a network on rows two to three times slower.
    """
    product = values @ layer.weight.T
    if layer.bias is None:
        return product
    return product + jnp.broadcast_to(layer.bias, product.shape)


def masked_mean(values: Float[Array, "obs width"], mask: Bool[Array, " obs"]) -> Float[Array, " width"]:
    """Mean over the real rows; zero when there are none."""
    total = jnp.sum(jnp.where(mask[:, None], values, 0.0), axis=0)
    return total / jnp.maximum(jnp.sum(mask, dtype=total.dtype), 1.0)


def second_moments(rows: Float[Array, "obs feature"], mask: Bool[Array, " obs"]) -> Float[Array, " pair"]:
    """Averages over the real rows of all products of two features, each pair once; zero when there are none.

    The posterior of a regression is a function of these (`x x'` and `x y`): given directly, no encoder has to learn
    them, and they cost one matrix product.
    """
    kept = jnp.where(mask[:, None], rows, 0.0)
    products = kept.T @ kept / jnp.maximum(jnp.sum(mask, dtype=kept.dtype), 1.0)
    return products[np.triu_indices(rows.shape[1])]


def num_pairs(feature_size: int) -> int:
    """Length of `second_moments`."""
    return feature_size * (feature_size + 1) // 2


def normalise(values: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
    """Root mean square 1 along the last axis (RMSNorm, Zhang and Sennrich 2019); zeros stay zeros.

    One reduction where LayerNorm has two. Without gain, because a linear map follows wherever we use it.
    """
    mean_square = jnp.mean(jnp.square(values), axis=-1, keepdims=True)
    return values * lax.rsqrt(mean_square + 1e-5)


class FeedForward(eqx.Module):
    """Residual block `v + W2 relu(W1 norm(v) + b1) + b2` along the last axis.

    ReLU because exp and tanh cost three times as much on CPU; pre-norm because it trains without a warm-up.
    """

    inner: eqx.nn.Linear
    outer: eqx.nn.Linear

    def __init__(self, width: int, hidden_size: int, *, key: PRNGKeyArray):
        """Weights of the block.

        Args:
            width: Size of its input and output.
            hidden_size: Number of ReLU units between.
            key: Consumed for the initial weights.
        """
        inner_key, outer_key = random.split(key)
        self.inner = eqx.nn.Linear(width, hidden_size, key=inner_key)
        self.outer = eqx.nn.Linear(hidden_size, width, key=outer_key)

    def __call__(self, values: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
        """Updated values, of the same shape."""
        return values + affine(self.outer, jax.nn.relu(affine(self.inner, normalise(values))))


class Stack(eqx.Module):
    """Blocks of one kind applied in turn, their weights stacked along a leading axis.

    A scan keeps compile time bounded whatever the depth. Four blocks at a time are inlined: on CPU a training
    step takes a fifth less time so.
    """

    blocks: eqx.Module

    def __init__(self, make_block: Callable[[PRNGKeyArray], eqx.Module], depth: int, *, key: PRNGKeyArray):
        """Weights of all blocks.

        Args:
            make_block: Builds one block from a key; its first argument when called is what it updates.
            depth: Number of blocks; with 0 the stack changes nothing.
            key: Consumed for the initial weights.
        """
        self.blocks = eqx.filter_vmap(make_block)(random.split(key, depth))

    def __call__(self, values: Float[Array, "*rows width"], *context: Any) -> Float[Array, "*rows width"]:
        """Result of `block(values, *context)` chained over the blocks; all see the same context."""
        weights, skeleton = eqx.partition(self.blocks, eqx.is_array)

        def step(values, block_weights):
            block: Any = eqx.combine(block_weights, skeleton)
            return block(values, *context), None

        return lax.scan(step, values, weights, unroll=4)[0]
