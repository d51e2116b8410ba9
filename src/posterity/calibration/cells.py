"""Sizes of datasets at which an estimator is checked: the corners of its envelope, and what lies between."""

import dataclasses
import itertools
from collections.abc import Mapping

from posterity.simulation.envelope import Envelope

__all__ = ["Cell", "envelope_cells"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One size of dataset.

    Attributes:
        rows: Number of rows.
        plates: Variable plate -> number of its entries.
    """

    rows: int
    plates: Mapping[str, int]


def envelope_cells(envelope: Envelope) -> tuple[Cell, ...]:
    """Low, middle (geometric) and high number of rows, times low, middle and high of the variable plate.

    Of several variable plates only low and high are taken: cells multiply.
    """
    with_middle = len(envelope.plates) <= 1
    plates = [_sizes(*bounds, with_middle=with_middle) for bounds in envelope.plates.values()]
    return tuple(
        Cell(num_rows, dict(zip(envelope.plates, sizes, strict=True)))
        for num_rows in _sizes(*envelope.rows, with_middle=True)
        for sizes in itertools.product(*plates)
    )


def _sizes(low: int, high: int, *, with_middle: bool) -> list[int]:
    middle = [round((low * high) ** 0.5)] if with_middle else []
    return sorted({low, *middle, high})
