"""DeepSets: the same network on every row, an average, and a network on the average."""

import equinox as eqx
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.encoders.base import AbstractEncoder, check_sizes
from posterity.encoders.layers import FeedForward, Stack, masked_mean
from posterity.encoders.lift import RowLift
from posterity.encoders.readout import Readout

__all__ = ["DeepSets"]


class DeepSets(AbstractEncoder):
    r"""Embedding $\rho(\frac{1}{n} \sum_i [h(x_i), \phi(h(x_i))])$ (Zaheer et al. 2017).

    The lifted rows `h` are averaged beside the features `phi` that a network makes of them: this path is
    linear in `h`, so first and second moments of the rows arrive exactly. Rows never meet before the average,
    which makes it the fastest encoder and blind to relations between rows that no average shows.
    """

    lift: RowLift
    blocks: Stack
    readout: Readout
    embedding_size: int = eqx.field(static=True)

    def __init__(
        self,
        feature_size: int,
        *,
        width: int = 64,
        depth: int = 2,
        expansion: int = 2,
        embedding_size: int = 128,
        readout_depth: int = 3,
        products: bool = True,
        key: PRNGKeyArray,
    ):
        """Weights of the encoder.

        Args:
            feature_size: Length of a row.
            width: Size of a lifted row and of each of the two averages.
            depth: Residual blocks applied to every row.
            expansion: Hidden units per block, in multiples of `width`.
            embedding_size: Size of the embedding.
            readout_depth: Residual blocks after the average; 0 for none.
            products: Whether the lift multiplies features (see `RowLift`).
            key: Consumed for the initial weights.
        """
        check_sizes(
            "deep_sets", feature_size=feature_size, width=width, depth=depth, expansion=expansion,
            embedding_size=embedding_size,
        )  # fmt: skip
        lift_key, blocks_key, readout_key = random.split(key, 3)
        self.lift = RowLift(feature_size, width, products=products, key=lift_key)
        self.blocks = Stack(lambda key: FeedForward(width, expansion * width, key=key), depth, key=blocks_key)
        self.readout = Readout(2 * width, embedding_size, readout_depth, key=readout_key)
        self.embedding_size = embedding_size

    def __call__(
        self, rows: Float[Array, "obs feature"], mask: Bool[Array, " obs"]
    ) -> Float[Array, " embedding"]:
        """Embedding of one dataset."""
        lifted = self.lift(rows, mask)
        return self.readout(masked_mean(lifted, mask), masked_mean(self.blocks(lifted), mask))
