"""How an arrow is arranged: its rows in chunks of one length, each within one group; its groups around the border."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from posterity.informed_posterior.algebra.arrow import ArrowDesign, taken
from posterity.model.dataset import AnyArray

__all__ = ["Arrangement", "Rows", "Ties", "arranged", "tied", "untied"]

PER_CHUNK = 4  # empty rows that a further chunk is worth


class Rows(eqx.Module):
    """Where each term's row stands; see `ArrowDesign`."""

    group: Int[AnyArray, "*batch chunk"] | None
    slot: Int[AnyArray, "*batch term"]
    source: Int[AnyArray, "*batch row chunk"]
    num_groups: int = eqx.field(static=True)

    def coefficients(self, by_term: Float[Array, "term n"]) -> Float[Array, "n row chunk"]:
        """Coefficients of each row's term; 0 where there is none."""
        return jnp.moveaxis(taken(by_term, self.source), -1, 0)

    def design(
        self, own: Float[Array, "... own row chunk"], border: Float[Array, "... border row chunk"]
    ) -> ArrowDesign:
        """The design with these coefficients."""
        return ArrowDesign(own, border, self.group, self.slot, self.source, self.num_groups)


Ties = Float[AnyArray, "*batch own border group"]
"""How far each latent of a group goes along with each of the border by its prior: 1 for a mean of group effects."""


class Arrangement(eqx.Module):
    """How one dataset's rest is taken as an arrow.

    Vectors hold how far groups are from where the border takes them. Where effects have next to no spread around a
    mean that is unknown, the matrix of the effects themselves is nothing but large numbers that cancel.

    Attributes:
        rows: Of the terms, then of each quadratic site.
        ties: Of groups to the border; None where the prior has none.
    """

    rows: tuple[Rows, ...]
    ties: Ties | None


def tied(vector: Float[Array, "*draw latent"], ties: Ties | None) -> Float[Array, "*draw latent"]:
    """Latents, from how far groups are from where the border takes them."""
    return vector if ties is None else _moved(vector, ties)


def untied(vector: Float[Array, "*draw latent"], ties: Ties | None) -> Float[Array, "*draw latent"]:
    """The inverse of `tied`."""
    return vector if ties is None else _moved(vector, -ties)


def _moved(vector: Array, ties: Ties) -> Array:
    end = ties.shape[0] * ties.shape[2]
    own, border = vector[..., :end], vector[..., end:]
    along = jnp.concatenate([border @ of_own for of_own in ties], axis=-1)
    return jnp.concatenate([own + along, border], axis=-1)


def arranged(group: Int[np.ndarray, " term"], num_groups: int, size: int) -> Rows:
    """Rows of terms by their groups, in chunks of the length that leaves the fewest rows empty.

    Args:
        group: Of each term; negative for those without a row.
        num_groups: Groups.
        size: Number of terms that these are padded to.
    """
    if not size:
        none: tuple[Any, ...] = np.zeros(0, np.int32), np.zeros((0, num_groups), np.int32)
        return Rows(None, none[0], none[1], num_groups)
    order = np.argsort(group, kind="stable")[np.sum(group < 0) :]
    sizes = np.bincount(group[order], minlength=num_groups)
    largest = max(1, int(sizes.max(initial=1)))
    lengths = [largest, *(1 << k for k in range(largest.bit_length()) if 1 << k < largest)]
    num_chunks = {length: _bucket(int(np.sum(-(-sizes // length)))) for length in lengths}
    num_chunks[largest] = num_groups
    length = min(lengths, key=lambda n: num_chunks[n] * (n + PER_CHUNK * (n != largest)))
    within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    if length == largest:
        chunk, of_chunk = group[order], None
    else:
        chunks_of = -(-sizes // length)
        chunk = np.repeat(np.cumsum(chunks_of) - chunks_of, sizes) + within // length
        of_chunk = np.full(num_chunks[length], num_groups - 1)
        of_chunk[: chunks_of.sum()] = np.repeat(np.arange(num_groups), chunks_of)
        of_chunk = of_chunk.astype(np.int32)
    place = within % length * num_chunks[length] + chunk
    slot = np.full(size, num_chunks[length] * length, np.int32)
    source = np.full(num_chunks[length] * length, size, np.int32)
    slot[order], source[place] = place, order
    places: tuple[Any, ...] = of_chunk, slot, np.reshape(source, (length, -1))
    return Rows(places[0], places[1], places[2], num_groups)


def _bucket(number: int) -> int:
    """A power of two, or one and a half times one: so that few programs serve all datasets."""
    size = 8
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
