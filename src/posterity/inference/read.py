"""A dataset at the door: read as the model takes it, padded to a size that programs share, in 32 bits or 64."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from posterity.inference.draw import Network
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.dataset import SMALLEST_BUCKET, Dataset, bucket_for, places_for
from posterity.model.group_sizes import groups_needed
from posterity.model.intake import num_rows_in, pad_arrays, plate_sizes, read_arrays
from posterity.model.levels import names_of_groups, with_codes
from posterity.model.model import Model
from posterity.model.read import with_more_groups
from posterity.model.sums import same_sums
from posterity.runtime.keys import dataset_words
from posterity.runtime.precision import is_double, narrowed, needs_double, precision
from posterity.tables.read import as_frame
from posterity.trust.agreement import runs_with_64_bits

__all__ = ["ReadDataset", "by_program", "read_dataset"]

FEWEST_SUMMED = 1024  # rows: below, one dataset by itself gains nothing that is felt
FEWEST_DOUBLED = 2**16


@dataclasses.dataclass(frozen=True)
class ReadDataset:
    """One dataset, ready for the programs.

    Attributes:
        model: That of the request, or a larger one where the dataset has more groups.
        network: For this model.
        name: Of the dataset, if it has one.
        arrays: As the model takes them, rows first.
        sizes: Of its variable plates.
        columns: Argument name -> names of groups that were given as words.
        padded: The arrays, rows and plates padded; or a few rows of the same sums.
        words: What its key comes from.
        wide: The arrays with 64 bits.
        is_double: It is answered with them.
        spent: Seconds that answering with 32 bits took before.
        by_sums: A few rows stand for many, see `posterity.model.sums`.
    """

    model: Model
    network: Network
    name: str | None
    arrays: dict[str, np.ndarray]
    sizes: dict[str, int]
    columns: Mapping[str, Sequence[str]]
    padded: Dataset
    words: np.ndarray
    wide: dict[str, np.ndarray]
    is_double: bool
    spent: float = 0.0
    by_sums: bool = False

    @property
    def num_rows(self) -> int:
        """Padded number of all rows."""
        if self.model.whole:
            return 1
        return self.network.padded_rows(num_rows_in(self.model, self.arrays))

    @property
    def places(self) -> int:
        """Of a batch of such datasets."""
        takes_one = isinstance(self.network, InformedNetwork) and self.network.takes_one
        return 1 if takes_one else places_for(self.num_rows)

    @property
    def exact(self) -> Dataset:
        """All rows, padded, with 64 bits."""
        if self.is_double and not self.by_sums:
            return self.padded
        return pad_arrays(self.model, self.wide, self.sizes, self.num_rows)

    def doubled(self, is_far: bool, seconds: float) -> "ReadDataset":
        """The same after some seconds, to be answered with 64 bits, and by looking farther if `is_far`."""
        network = dataclasses.replace(self.network, looks_far=True) if is_far else self.network
        padded = _summed(self.model, self.wide, self.sizes) if self.by_sums else self.exact
        wider = {"network": network, "arrays": self.wide, "padded": padded, "is_double": True}
        return dataclasses.replace(self, **wider, spent=self.spent + seconds)


def read_dataset(model: Model, network: Network, dataset: Any, name: str | None, place: int) -> ReadDataset:
    """The dataset as the model takes it.

    Args:
        model: The model.
        network: What answers it.
        dataset: Argument name -> array with rows first, or a table with a column for each argument.
        name: Of the dataset; it decides its key, else its place does.
        place: Among the datasets of the call.

    Raises:
        InputError: It does not suit the model.
    """
    if not isinstance(dataset, Mapping):
        dataset = {column.name: column for column in as_frame(dataset, default=f"dataset for '{model.name}'")[0]}
    dataset, words = with_codes(f"dataset for '{model.name}'", dataset)
    model, network = _with_room_for(dataset, model, network)
    columns = names_of_groups(model, words)
    with precision(True):
        wide = read_arrays(model, dataset)
    double = is_double() or needs_double(wide.values())
    num_rows, by_sums = num_rows_in(model, wide), _is_by_sums(model, network, wide)
    # Rows of the same sums are few: 64 bits cost nothing there, and so many rows would need them soon.
    double = double or (by_sums and num_rows >= FEWEST_DOUBLED and runs_with_64_bits(model))
    arrays = wide if double else {argument: narrowed(array) for argument, array in wide.items()}
    sizes = plate_sizes(model, arrays)
    if by_sums:
        padded = _summed(model, wide, sizes)
        padded = padded if double else jax.tree.map(narrowed, padded)
    else:
        padded = pad_arrays(model, arrays, sizes, num_rows if model.whole else network.padded_rows(num_rows))
    key = dataset_words(name, place)
    return ReadDataset(model, network, name, arrays, sizes, columns, padded, key, wide, double, by_sums=by_sums)


def _is_by_sums(model: Model, network: Network, arrays: Mapping[str, np.ndarray]) -> bool:
    num_rows = num_rows_in(model, arrays)
    if num_rows < FEWEST_SUMMED or not isinstance(network, InformedNetwork):
        return False
    return num_rows > sum(math.prod(array.shape[1:]) for array in arrays.values()) and network.is_by_sums


def _summed(model: Model, wide: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> Dataset:
    """The few rows that stand for a dataset's, with 64 bits."""
    num_rows = num_rows_in(model, wide)
    shapes = {name: array.shape[1:] for name, array in wide.items()}
    table = np.concatenate([np.reshape(array, (num_rows, -1)) for array in wide.values()], axis=1)
    rows, weights = same_sums(table[None], np.array([num_rows]))
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
    parts = zip(shapes.items(), np.split(rows[0], ends, axis=1), strict=True)
    few = {name: np.reshape(part, (-1, *shape)) for (name, shape), part in parts}
    padded = pad_arrays(model, few, sizes, bucket_for(len(rows[0]), [SMALLEST_BUCKET]))
    return dataclasses.replace(padded, weight=np.asarray(weights[0]))


def by_program(reads: Mapping[int, ReadDataset]) -> list[dict[int, ReadDataset]]:
    """Those that one program serves together."""
    found: dict[Any, dict[int, ReadDataset]] = {}
    for i, read in reads.items():
        looks_far = isinstance(read.network, InformedNetwork) and read.network.looks_far
        key = (read.model, read.num_rows, read.by_sums, read.is_double, looks_far)
        found.setdefault(key, {})[i] = read
    return list(found.values())


def _with_room_for(dataset: Mapping[str, Any], model: Model, network: Network) -> tuple[Model, Network]:
    """The model and its network, read again where the dataset has more groups than they hold."""
    needed = groups_needed(model, dataset)
    if not isinstance(network, InformedNetwork) or all(needed[plate] <= model.capacity[plate] for plate in needed):
        return model, network
    larger = with_more_groups(model, needed)
    return larger, dataclasses.replace(network, model=larger)
