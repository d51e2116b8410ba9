"""Datasets of different sizes in one set of arrays, one after the other."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

__all__ = ["Ragged"]


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """Datasets of different sizes, one after the other.

    Attributes:
        names: Of each, no two alike.
        values: Argument name -> array with the rows of all datasets.
        ends: Where each one's rows end.
    """

    names: Sequence[str]
    values: Mapping[str, np.ndarray]
    ends: Int[np.ndarray, " dataset"]

    @property
    def starts(self) -> Int[np.ndarray, " dataset"]:
        """Where each one's rows begin."""
        return np.concatenate([[0], self.ends[:-1]])

    def dataset(self, i: int) -> dict[str, np.ndarray]:
        """One of them by itself."""
        return {name: array[self.starts[i] : self.ends[i]] for name, array in self.values.items()}

    def part(self, first: int, last: int) -> "Ragged":
        """Some of them that follow each other."""
        begin, ends = self.starts[first], self.ends[first:last]
        values = {name: array[begin : ends[-1]] for name, array in self.values.items()}
        return Ragged(self.names[first:last], values, ends - begin)
