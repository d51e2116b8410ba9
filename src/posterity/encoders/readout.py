"""The last part of every encoder: from pooled summaries to the embedding."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.checks import InputError
from posterity.encoders.layers import FeedForward, Stack, affine

__all__ = ["Readout"]


class Readout(eqx.Module):
    """Residual network on the pooled summaries of one dataset.

    It turns moments into posterior parameters (for a regression: a matrix inverse). There is one vector per
    dataset here instead of one per row, so depth and width in this place cost next to nothing.
    """

    project: eqx.nn.Linear
    blocks: Stack

    def __init__(self, summary_size: int, embedding_size: int, depth: int, *, key: PRNGKeyArray):
        """Weights of the network.

        Args:
            summary_size: Total size of the summaries.
            embedding_size: Size of the embedding and of the residual stream.
            depth: Number of residual blocks, each with `2 embedding_size` hidden units; 0 is a linear map.
            key: Consumed for the initial weights.
        """
        if depth < 0:
            raise InputError(f"readout of an encoder: `readout_depth` must be at least 0, got {depth}.")
        project_key, blocks_key = random.split(key)
        self.project = eqx.nn.Linear(summary_size, embedding_size, key=project_key)
        self.blocks = Stack(
            lambda key: FeedForward(embedding_size, 2 * embedding_size, key=key), depth, key=blocks_key
        )

    def __call__(self, *summaries: Float[Array, " _"]) -> Float[Array, " embedding"]:
        """Embedding from summary vectors of any sizes that add up to `summary_size`."""
        return self.blocks(affine(self.project, jnp.concatenate(summaries)))
