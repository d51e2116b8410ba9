"""GRU: reads the rows one after another and keeps the state after the last."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax, random
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.base import AbstractEncoder, check_sizes
from posterity.amortized.encoders.layers import affine, masked_mean, num_pairs, product, second_moments, shifted
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

    def __call__(
        self, rows: Float[Array, "*batch obs feature"], mask: Bool[Array, "*batch obs"]
    ) -> Float[Array, "*batch embedding"]:
        """Embedding of each dataset."""
        lifted = self.lift(rows, mask)
        signals, is_real = jnp.moveaxis(lifted, -2, 0), jnp.moveaxis(mask, -1, 0)  # (obs, *batch, width), (obs, *batch)
        for cell in self.cells:
            last, signals = _read(cell, signals, is_real)
        summary = [last, masked_mean(lifted, mask), second_moments(rows, mask)]
        return affine(self.project, jnp.concatenate(summary, axis=-1))


def _read(
    cell: eqx.nn.GRUCell, signals: Float[Array, "obs *batch width"], is_real: Bool[Array, "obs *batch"]
) -> tuple[Float[Array, "*batch width"], Float[Array, "obs *batch width"]]:
    """One layer over the rows in turn: its last state, and the state after each row.

    Equinox's cell, but for what the rows give to the gates: that is one product for all rows of all datasets.
    """
    gates = shifted(product(signals, cell.weight_ih), cell.bias)

    def step(state, row):
        gates, is_real = row
        reset, update, new = jnp.split(gates, 3, axis=-1)
        state_reset, state_update, state_new = jnp.split(state @ cell.weight_hh.T, 3, axis=-1)
        reset, update = sigmoid(reset + state_reset), sigmoid(update + state_update)
        new = jnp.tanh(new + reset * shifted(state_new, cell.bias_n))
        state = jnp.where(is_real[..., None], new + update * (state - new), state)  # padding leaves the state alone
        return state, state

    return lax.scan(step, jnp.zeros(signals.shape[1:]), (gates, is_real))
