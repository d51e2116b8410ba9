"""Transformer without positions: rows attend to each other, and a [CLS] token collects the answer."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.attention import AttentionBlock
from posterity.amortized.encoders.base import AbstractEncoder, check_sizes
from posterity.amortized.encoders.layers import Stack, affine, masked_mean, normalise, num_pairs, second_moments
from posterity.amortized.encoders.lift import RowLift

__all__ = ["Transformer", "sinusoidal_positions"]


class Transformer(AbstractEncoder):
    """The paper's main encoder: self-attention over [CLS] and rows, [CLS] read at the end.

    Departures from the paper: pre-norm instead of post-norm, no dropout (fresh datasets at every step cannot
    be memorised), averages of the rows and of their products beside [CLS], and sizes for a CPU. The paper's size is
    `width=256, num_heads=4, expansion=4`. Time and memory grow with the square of the number of rows:
    `SetTransformer` is the one for long datasets.
    """

    lift: RowLift
    cls_token: Float[Array, " width"]
    blocks: Stack
    last_block: AttentionBlock
    project: eqx.nn.Linear
    positions: bool = eqx.field(static=True)
    embedding_size: int = eqx.field(static=True)

    def __init__(
        self,
        feature_size: int,
        *,
        width: int = 64,
        depth: int = 4,
        num_heads: int = 2,
        expansion: int = 2,
        embedding_size: int = 128,
        positions: bool = False,
        key: PRNGKeyArray,
    ):
        """Weights of the encoder.

        Args:
            feature_size: Length of a row.
            width: Size of a token, a multiple of `num_heads`.
            depth: Number of attention blocks.
            num_heads: Heads of attention per block.
            expansion: Hidden units of the feed-forward networks, in multiples of `width`.
            embedding_size: Size of the embedding.
            positions: Add sinusoidal positions to the rows, which breaks exchangeability: for ablations only.
            key: Consumed for the initial weights.
        """
        check_sizes(
            "transformer", feature_size=feature_size, width=width, depth=depth, num_heads=num_heads,
            expansion=expansion, embedding_size=embedding_size,
        )  # fmt: skip
        lift_key, cls_key, blocks_key, last_key, project_key = random.split(key, 5)
        self.lift = RowLift(feature_size, width, key=lift_key)
        self.cls_token = random.normal(cls_key, (width,))
        self.blocks = Stack(
            lambda key: AttentionBlock(width, num_heads, expansion * width, key=key),
            depth - 1,
            key=blocks_key,
        )
        self.last_block = AttentionBlock(width, num_heads, expansion * width, key=last_key)
        self.project = eqx.nn.Linear(2 * width + num_pairs(feature_size), embedding_size, key=project_key)
        self.positions = positions
        self.embedding_size = embedding_size

    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch embedding"]:
        """Embedding of each dataset."""
        lifted = self.lift(rows, mask)
        pooled = masked_mean(lifted, mask)
        if self.positions:
            lifted = lifted + sinusoidal_positions(mask, lifted.shape[-1])
        cls_token = jnp.broadcast_to(self.cls_token, (*mask.shape[:-1], 1, self.cls_token.shape[0]))
        tokens = jnp.concatenate([cls_token, lifted], axis=-2)  # (*batch, 1 + obs, width)
        present = jnp.concatenate([jnp.ones((*mask.shape[:-1], 1), bool), mask], axis=-1)
        tokens = self.blocks(tokens, present)
        # In the last block only [CLS] is read afterwards, so only [CLS] has to ask.
        cls = self.last_block(tokens[..., :1, :], present, tokens)[..., 0, :]
        summary = [normalise(cls), pooled, second_moments(rows, mask)]
        return affine(self.project, jnp.concatenate(summary, axis=-1))


def sinusoidal_positions(mask: Bool[Array, "*batch obs"], width: int) -> Float[Array, "*batch obs width"]:
    """Sines and cosines of each real row's place (Vaswani et al. 2017); padding does not count."""
    place = jnp.cumsum(mask.astype(jnp.float32), axis=-1) - 1.0
    wavelength = 10_000.0 ** (jnp.arange(0.0, width, 2.0) / width)
    angle = place[..., None] / jnp.broadcast_to(wavelength, (*place.shape, wavelength.shape[0]))
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)[..., :width]
