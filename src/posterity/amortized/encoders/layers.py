"""Layers that all encoders share: masked mean, normalisation, residual blocks and stacks of them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

__all__ = [
    "FeedForward",
    "Stack",
    "affine",
    "masked_mean",
    "normalise",
    "num_pairs",
    "product",
    "second_moments",
    "shifted",
]


def affine(layer: eqx.nn.Linear, values: Float[Array, "*rows width"]) -> Float[Array, "*rows out"]:
    """`layer` applied to the last axis: `W v + b` for a vector, or for every row of all datasets."""
    mapped = product(values, layer.weight)
    return mapped if layer.bias is None else shifted(mapped, layer.bias)


@jax.custom_vjp
def product(values: Float[Array, "*rows width"], weight: Float[Array, "out width"]) -> Float[Array, "*rows out"]:
    """`V W'` with the rows of all datasets below each other."""
    return jnp.reshape(_rows(values) @ weight.T, (*values.shape[:-1], weight.shape[0]))


def _gradients_of_product(
    saved: tuple[Float[Array, "*rows width"], Float[Array, "out width"]], slope: Float[Array, "*rows out"]
) -> tuple[Float[Array, "*rows width"], Float[Array, "out width"]]:
    """By the values, and by the weights: `G' V`, summed over all rows.

    XLA's CPU compiler transposes a copy of the slopes where two axes, batch and rows, are summed over: a quarter of
    the Transformer's training step at width 256 (300 ms of 1230). So the two are made one. For few weights a product
    per dataset and their sum are better, 1.3 ms instead of 2.3 at 64 by 64; at 128 by 128 both take the same.
    """
    values, weight = saved
    by_values = jnp.reshape(_rows(slope) @ weight, values.shape)
    if values.ndim < 3 or min(weight.shape) > min(values.shape[-2], 64):
        return by_values, _rows(slope).T @ _rows(values)
    of_datasets = jnp.swapaxes(slope, -1, -2) @ values  # (*batch, out, width)
    return by_values, jnp.reshape(_sum_of_rows(jnp.reshape(of_datasets, (-1, weight.size))), weight.shape)


product.defvjp(lambda values, weight: (product(values, weight), (values, weight)), _gradients_of_product)


@jax.custom_vjp
def shifted(values: Float[Array, "*rows width"], bias: Float[Array, " width"]) -> Float[Array, "*rows width"]:
    """The same bias added to every row."""
    return values + jnp.broadcast_to(bias, values.shape)


shifted.defvjp(lambda values, bias: (shifted(values, bias), None), lambda _, slope: (slope, _sum_of_rows(_rows(slope))))


def _rows(values: Float[Array, "*rows width"]) -> Float[Array, "row width"]:
    """One matrix of all rows."""
    return jnp.reshape(values, (-1, values.shape[-1]))


def _sum_of_rows(rows: Float[Array, "row width"]) -> Float[Array, " width"]:
    """As a product with ones: XLA's own sum of 8256 rows of width 256 takes 2.8 ms instead of 0.6 on CPU."""
    return (jnp.ones((1, rows.shape[0]), rows.dtype) @ rows)[0]


def masked_mean(
    values: Float[Array, "*batch obs width"], mask: Bool[Array, "*batch obs"]
) -> Float[Array, "*batch width"]:
    """Mean over the real rows; zero when there are none."""
    total = jnp.sum(jnp.where(mask[..., None], values, 0.0), axis=-2)
    return total / jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True, dtype=total.dtype), 1.0)


def second_moments(
    rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
) -> Float[Array, "*batch pair"]:
    """Averages over the real rows of all products of two features, each pair once; zero when there are none.

    The posterior of a regression is a function of these (`x x'` and `x y`): given directly, no encoder has to learn
    them, and they cost one matrix product.
    """
    kept = jnp.where(mask[..., None], rows, 0.0)
    num_obs = jnp.sum(mask, axis=-1, dtype=kept.dtype)[..., None, None]
    products = jnp.swapaxes(kept, -1, -2) @ kept / jnp.maximum(num_obs, 1.0)
    return products[..., *np.triu_indices(rows.shape[-1])]


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
