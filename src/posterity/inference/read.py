"""A dataset at the door: read as the model takes it, padded to a size that programs share, in 32 bits or 64."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posterity.inference.draw import Network
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.dataset import Dataset
from posterity.model.group_sizes import groups_needed
from posterity.model.intake import num_rows_in, pad_arrays, plate_sizes, read_arrays
from posterity.model.levels import names_of_groups, with_codes
from posterity.model.model import Model
from posterity.model.read import with_more_groups
from posterity.runtime.keys import dataset_words
from posterity.runtime.precision import is_double, narrowed, needs_double, precision
from posterity.tables.read import as_frame

__all__ = ["ReadDataset", "by_program", "read_dataset"]


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
        padded: The arrays, rows and plates padded.
        words: What its key comes from.
        wide: The arrays with 64 bits.
        is_double: It is answered with them.
        spent: Seconds that answering with 32 bits took before.
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

    @property
    def exact(self) -> Dataset:
        """Padded, with 64 bits."""
        num_rows = self.padded.row_mask.shape[0]
        return self.padded if self.is_double else pad_arrays(self.model, self.wide, self.sizes, num_rows)

    def doubled(self, is_far: bool, seconds: float) -> "ReadDataset":
        """The same after some seconds, to be answered with 64 bits, and by looking farther if `is_far`."""
        network = dataclasses.replace(self.network, looks_far=True) if is_far else self.network
        wider = {"network": network, "arrays": self.wide, "padded": self.exact, "is_double": True}
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
    arrays = wide if double else {argument: narrowed(array) for argument, array in wide.items()}
    sizes = plate_sizes(model, arrays)
    num_rows = num_rows_in(model, arrays)
    padded = pad_arrays(model, arrays, sizes, num_rows if model.whole else network.padded_rows(num_rows))
    return ReadDataset(model, network, name, arrays, sizes, columns, padded, dataset_words(name, place), wide, double)


def by_program(reads: Mapping[int, ReadDataset]) -> list[dict[int, ReadDataset]]:
    """Those that one program serves together."""
    found: dict[Any, dict[int, ReadDataset]] = {}
    for i, read in reads.items():
        looks_far = isinstance(read.network, InformedNetwork) and read.network.looks_far
        key = (read.model, read.padded.row_mask.shape[0], read.is_double, looks_far)
        found.setdefault(key, {})[i] = read
    return list(found.values())


def _with_room_for(dataset: Mapping[str, Any], model: Model, network: Network) -> tuple[Model, Network]:
    """The model and its network, read again where the dataset has more groups than they hold."""
    needed = groups_needed(model, dataset)
    if not isinstance(network, InformedNetwork) or all(needed[plate] <= model.capacity[plate] for plate in needed):
        return model, network
    larger = with_more_groups(model, needed)
    return larger, dataclasses.replace(network, model=larger)
