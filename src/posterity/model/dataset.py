"""Datasets: dicts of arrays outside, padded to a few sizes with masks inside."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

__all__ = [
    "MOST_ROWS",
    "PLACES",
    "SMALLEST_BUCKET",
    "AnyArray",
    "Dataset",
    "bucket_for",
    "bucket_sizes",
    "num_rows_of",
    "places_for",
    "stack_datasets",
    "stack_places",
]

Tree = TypeVar("Tree")
# NumPy's until they meet a program: JAX would run one for each array that is padded. Type checkers need not know.
if TYPE_CHECKING:
    AnyArray: TypeAlias = Array
else:
    AnyArray = Array | np.ndarray

SMALLEST_BUCKET = 8
"""Rows to which fewer are padded where any power of two will do."""

PLACES = 16
"""Datasets in a batch, whether all places are taken or not: one program serves one dataset and many."""

MOST_ROWS = 2**17  # in all places of a batch


class Dataset(eqx.Module):
    """One dataset, padded, or a batch of them when every array has leading batch axes.

    Attributes:
        values: Argument name -> array `(obs, ...)`. Padded rows and masked entries hold zeros.
        row_mask: True for real rows, shape `(obs,)`.
        plate_masks: Variable plate -> True for the entries that this dataset has, shape `(size,)`.
        weight: How often each row counts, where a few stand for many, see `sums`; None for once.
    """

    values: dict[str, Shaped[AnyArray, "..."]]
    row_mask: Bool[AnyArray, "*batch obs"]
    plate_masks: dict[str, Bool[AnyArray, "*batch _"]]
    weight: Float[AnyArray, "*batch"] | None = None

    @property
    def num_obs(self) -> Int[Array, "*batch"]:
        """Number of real rows."""
        return jnp.sum(self.row_mask, axis=-1)


def bucket_sizes(min_rows: int, max_rows: int, *, most: int = 3) -> tuple[int, ...]:
    """Padded row counts that cover `min_rows..max_rows`, ascending, evenly spaced in log(rows).

    Neighbours differ by a factor of 2 or, in wide ranges, by more: every size is one more compilation, so there
    are at most `most`.
    """
    ratio = max(2.0, (max_rows / min_rows) ** (1.0 / most))
    sizes = [max_rows]
    while len(sizes) < most and sizes[-1] / ratio > min_rows:
        sizes.append(math.ceil(sizes[-1] / ratio))
    return tuple(reversed(sizes))


def bucket_for(num_rows: int, sizes: Sequence[int]) -> int:
    """Smallest padded row count that holds `num_rows`; beyond the largest, the next power-of-two multiple."""
    for size in sizes:
        if num_rows <= size:
            return size
    size = sizes[-1]
    while size < num_rows:
        size *= 2
    return size


def stack_datasets(datasets: Sequence[Dataset]) -> Dataset:
    """Batch of datasets that were padded to one common number of rows; the batch axis comes first."""
    first = datasets[0]
    return Dataset(
        values={name: jnp.stack([d.values[name] for d in datasets]) for name in first.values},
        row_mask=jnp.stack([d.row_mask for d in datasets]),
        plate_masks={name: jnp.stack([d.plate_masks[name] for d in datasets]) for name in first.plate_masks},
    )


def places_for(num_rows: int) -> int:
    """Places of a batch of datasets with so many padded rows: `PLACES`, fewer where these would fill memory."""
    return max(1, min(PLACES, MOST_ROWS // num_rows))


def stack_places(datasets: Sequence[Tree], places: int = PLACES) -> Tree:
    """Some datasets of one padded size, or what belongs to each, as a batch of fixed size.

    Places beyond them repeat the first.

    Args:
        datasets: At most as many as there are places.
        places: Their number.
    """
    if places == 1:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], datasets[0])  # which may be large: no copy
    filled = [*datasets, *[datasets[0]] * (places - len(datasets))]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *filled)


def num_rows_of(arrays: Mapping[str, np.ndarray]) -> int:
    """Common length of the first axis of `arrays`, which must not be empty."""
    return next(iter(arrays.values())).shape[0]
