"""GRU: reads the rows one after another and keeps the state after the last."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.base import AbstractEncoder, check_sizes
from posterity.amortized.encoders.layers import masked_mean, num_pairs, second_moments
from posterity.amortized.encoders.lift import RowLift

__all__ = ["GRU"]


class GRU(AbstractEncoder):
    """Stacked gated recurrent units over the rows in the order given, as in the paper.

    The one encoder that sees the order of rows, hence the one without exchangeability: the paper's baseline
    for what that costs. Its time grows with the number of rows and cannot be parallelised over them.
    """

    lift: RowLift
    cells: tuple[eqx.nn.GRUCell, ...]
    project: eqx.nn.Linear
    embedding_size: int = eqx.field(static=True)

    def __init__(
        self,
        feature_size: int,
        *,
        width: int = 64,
        depth: int = 2,
        embedding_size: int = 128,
        key: PRNGKeyArray,
    ):
        """Weights of the encoder.

        Args:
            feature_size: Length of a row.
            width: Size of a lifted row and of each layer's state.
            depth: Number of stacked layers; the paper has 4.
            embedding_size: Size of the embedding.
            key: Consumed for the initial weights.
        """
        check_sizes(
            "gru", feature_size=feature_size, width=width, depth=depth, embedding_size=embedding_size,
        )  # fmt: skip
        lift_key, cells_key, project_key = random.split(key, 3)
        self.lift = RowLift(feature_size, width, key=lift_key)
        self.cells = tuple(eqx.nn.GRUCell(width, width, key=each) for each in random.split(cells_key, depth))
        self.project = eqx.nn.Linear(2 * width + num_pairs(feature_size), embedding_size, key=project_key)
        self.embedding_size = embedding_size

    def __call__(self, rows: Float[Array, "obs feature"], mask: Bool[Array, " obs"]) -> Float[Array, " embedding"]:
        """Embedding of one dataset."""
        lifted = self.lift(rows, mask)

        def read(states, row_and_mask):
            signal, is_real = row_and_mask
            updated = []
            for cell, state in zip(self.cells, states, strict=True):
                signal = jnp.where(is_real, cell(signal, state), state)  # padding leaves every state alone
                updated.append(signal)
            return tuple(updated), None

        start = tuple(jnp.zeros(cell.hidden_size) for cell in self.cells)
        states, _ = lax.scan(read, start, (lifted, mask))
        return self.project(jnp.concatenate([states[-1], masked_mean(lifted, mask), second_moments(rows, mask)]))
