"""The range of dataset sizes that an estimator is trained for."""

import dataclasses
from collections.abc import Mapping

from posterity.checks import InputError

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
        """Refuses empty and reversed ranges."""
        for name, bounds in {"rows": self.rows, **self.plates}.items():
            low, high = bounds
            if not 1 <= low <= high:
                raise InputError(
                    f"envelope: {name} {low}:{high} is not a range; give LOW:HIGH with 1 <= LOW <= HIGH"
                )

    def reasons(self, num_rows: int, plate_sizes: Mapping[str, int]) -> tuple[str, ...]:
        """One sentence for each way that a dataset lies outside; empty when it lies inside."""
        sizes = {"rows": (num_rows, self.rows)}
        sizes |= {name: (plate_sizes[name], bounds) for name, bounds in self.plates.items()}
        return tuple(
            f"{size} {name} lie outside the training envelope {low}..{high}"
            for name, (size, (low, high)) in sizes.items()
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
