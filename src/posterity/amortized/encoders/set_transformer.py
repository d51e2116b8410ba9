"""Set transformer: rows talk through a few inducing points, so that the cost stays linear in their number."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.attention import AttentionBlock
from posterity.amortized.encoders.base import AbstractEncoder, check_sizes
from posterity.amortized.encoders.layers import Stack, affine, masked_mean, normalise, num_pairs, second_moments
from posterity.amortized.encoders.lift import RowLift

__all__ = ["InducedBlock", "SetTransformer"]


class InducedBlock(eqx.Module):
    """Induced set attention: `m` learned points ask the rows, then the rows ask the points; `O(n m)`."""

    points: Float[Array, "points width"]
    gather: AttentionBlock
    spread: AttentionBlock

    def __init__(self, width: int, num_points: int, num_heads: int, hidden_size: int, *, key: PRNGKeyArray):
        """Weights of the block.

        Args:
            width: Size of a token, a multiple of `num_heads`.
            num_points: Number of inducing points.
            num_heads: Heads of attention in both directions.
            hidden_size: ReLU units of the feed-forward networks.
            key: Consumed for the initial weights.
        """
        points_key, gather_key, spread_key = random.split(key, 3)
        self.points = random.normal(points_key, (num_points, width))
        self.gather = AttentionBlock(width, num_heads, hidden_size, key=gather_key)
        self.spread = AttentionBlock(width, num_heads, hidden_size, key=spread_key)

    def __call__(
        self, rows: Float[Array, "*batch obs width"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch obs width"]:
        """Rows after they have heard from all other real rows."""
        points = jnp.broadcast_to(self.points, (*mask.shape[:-1], *self.points.shape))
        summary = self.gather(points, mask, rows)
        return self.spread(rows, jnp.ones(summary.shape[:-1], bool), summary)


class SetTransformer(AbstractEncoder):
    """Induced set attention and pooling by attention (Lee et al. 2019), for datasets of many rows."""

    lift: RowLift
    blocks: Stack
    seeds: Float[Array, "seeds width"]
    pool: AttentionBlock
    project: eqx.nn.Linear
    embedding_size: int = eqx.field(static=True)

    def __init__(
        self,
        feature_size: int,
        *,
        width: int = 64,
        depth: int = 2,
        num_heads: int = 2,
        num_points: int = 16,
        num_seeds: int = 2,
        expansion: int = 2,
        embedding_size: int = 128,
        key: PRNGKeyArray,
    ):
        """Weights of the encoder.

        Args:
            feature_size: Length of a row.
            width: Size of a token, a multiple of `num_heads`.
            depth: Number of induced blocks.
            num_heads: Heads of attention per block.
            num_points: Inducing points per block; time and memory grow with `obs * num_points`.
            num_seeds: Learned questions that pool the rows; each gives `width` numbers.
            expansion: Hidden units of the feed-forward networks, in multiples of `width`.
            embedding_size: Size of the embedding.
            key: Consumed for the initial weights.
        """
        check_sizes(
            "set_transformer", feature_size=feature_size, width=width, depth=depth, num_heads=num_heads,
            num_points=num_points, num_seeds=num_seeds, expansion=expansion, embedding_size=embedding_size,
        )  # fmt: skip
        hidden_size = expansion * width
        lift_key, blocks_key, seeds_key, pool_key, project_key = random.split(key, 5)
        self.lift = RowLift(feature_size, width, key=lift_key)
        self.blocks = Stack(
            lambda key: InducedBlock(width, num_points, num_heads, hidden_size, key=key),
            depth,
            key=blocks_key,
        )
        self.seeds = random.normal(seeds_key, (num_seeds, width))
        self.pool = AttentionBlock(width, num_heads, hidden_size, key=pool_key)
        self.project = eqx.nn.Linear((num_seeds + 1) * width + num_pairs(feature_size), embedding_size, key=project_key)
        self.embedding_size = embedding_size

    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch embedding"]:
        """Embedding of each dataset."""
        batch = mask.shape[:-1]
        lifted = self.lift(rows, mask)
        seeds = jnp.broadcast_to(self.seeds, (*batch, *self.seeds.shape))
        answers = self.pool(seeds, mask, self.blocks(lifted, mask))  # (*batch, seeds, width)
        averages = [masked_mean(lifted, mask), second_moments(rows, mask)]
        answered = jnp.reshape(normalise(answers), (*batch, -1))
        return affine(self.project, jnp.concatenate([answered, *averages], axis=-1))
