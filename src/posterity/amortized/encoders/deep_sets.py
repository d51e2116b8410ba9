"""DeepSets: the same network on every row, then an average; what follows is the trunk's work."""

import equinox as eqx
import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.base import AbstractEncoder, check_sizes
from posterity.amortized.encoders.layers import FeedForward, Stack, affine, masked_mean, num_pairs, second_moments
from posterity.amortized.encoders.lift import RowLift

__all__ = ["DeepSets"]


class DeepSets(AbstractEncoder):
    r"""Embedding $W \, [\overline{h}, \overline{\phi(h)}, \overline{x x'}] + b$, averages over rows.

    Zaheer et al. 2017, and the second moments of the rows besides.

    Lifted rows `h`, the features `phi` that a network makes of them, and the rows' second moments are averaged.
    Rows never meet before the average, which makes it the fastest encoder and blind to relations between rows
    that no average shows.
    """

    lift: RowLift
    blocks: Stack
    project: eqx.nn.Linear
    embedding_size: int = eqx.field(static=True)

    def __init__(
        self,
        feature_size: int,
        *,
        width: int = 64,
        depth: int = 1,
        expansion: int = 2,
        embedding_size: int = 128,
        key: PRNGKeyArray,
    ):
        """Weights of the encoder.

        Args:
            feature_size: Length of a row.
            width: Size of a lifted row and of each of the two averages.
            depth: Residual blocks applied to every row.
            expansion: Hidden units per block, in multiples of `width`.
            embedding_size: Size of the embedding.
            key: Consumed for the initial weights.
        """
        check_sizes(
            "deep_sets", feature_size=feature_size, width=width, depth=depth, expansion=expansion,
            embedding_size=embedding_size,
        )  # fmt: skip
        lift_key, blocks_key, project_key = random.split(key, 3)
        self.lift = RowLift(feature_size, width, key=lift_key)
        self.blocks = Stack(lambda key: FeedForward(width, expansion * width, key=key), depth, key=blocks_key)
        self.project = eqx.nn.Linear(2 * width + num_pairs(feature_size), embedding_size, key=project_key)
        self.embedding_size = embedding_size

    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch embedding"]:
        """Embedding of each dataset."""
        lifted = self.lift(rows, mask)
        averages = [masked_mean(lifted, mask), masked_mean(self.blocks(lifted), mask)]
        return affine(self.project, jnp.concatenate([*averages, second_moments(rows, mask)], axis=-1))
