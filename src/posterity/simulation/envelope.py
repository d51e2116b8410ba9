"""The range of dataset sizes that an estimator is trained for."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from posterity.runtime.errors import InputError

__all__ = ["Envelope"]


@dataclasses.dataclass(frozen=True)
class Envelope:
    """Rows and variable plates that training covers; both ends are included.

    Attributes:
        rows: Smallest and largest number of rows.
        plates: Variable plate -> smallest and largest number of its entries. A plate that is not named here
            keeps the size it has in the example.
    """

    rows: tuple[int, int] = (16, 128)
    plates: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what is no range, empty ranges and reversed ones."""
        for name, bounds in self._ranges():
            if not _is_range(bounds):
                told = ":".join(map(str, bounds)) if isinstance(bounds, (tuple, list)) else repr(bounds)
                raise InputError(
                    f"envelope: {name} {told} is not a range; give whole numbers LOW:HIGH with 1 <= LOW <= HIGH"
                )

    def __str__(self) -> str:
        return ", ".join(f"{name} {low}..{high}" for name, (low, high) in self._ranges())

    def __hash__(self) -> int:
        return hash((self.rows, tuple(sorted(self.plates.items()))))

    def reasons(self, num_rows: int, plate_sizes: Mapping[str, int]) -> tuple[str, ...]:
        """One sentence for each way that a dataset lies outside; empty when it lies inside.

        Args:
            num_rows: Its rows.
            plate_sizes: Variable plate -> its entries.
        """
        sizes = [num_rows, *(plate_sizes[name] for name in self.plates)]
        return tuple(
            f"{size} {name} lie outside the training envelope {low}..{high}"
            for size, (name, (low, high)) in zip(sizes, self._ranges(), strict=True)
            if not low <= size <= high
        )

    def to_json(self) -> dict[str, object]:
        """Plain lists and dicts, for `estimator.json`."""
        return {"rows": list(self.rows), "plates": {name: list(b) for name, b in self.plates.items()}}

    @classmethod
    def from_json(cls, record: Mapping) -> "Envelope":
        """Inverse of `to_json`."""
        low, high = record["rows"]
        return cls((low, high), {name: (b[0], b[1]) for name, b in record["plates"].items()})

    def _ranges(self) -> Iterator[tuple[str, Any]]:
        yield "rows", self.rows  # not a dict: a plate may be called rows
        yield from self.plates.items()


def _is_range(bounds: Any) -> bool:
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        return False
    whole = all(isinstance(b, int) and not isinstance(b, bool) for b in bounds)
    return whole and 1 <= bounds[0] <= bounds[1]
