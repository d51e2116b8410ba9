"""What a check of all cells comes to: one word, one sentence that says what was judged, and what was found."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from posterity.calibration.report import CellReport

__all__ = ["Outcome", "cell_name", "outcome_of"]


class Outcome(NamedTuple):
    """A check in words.

    Attributes:
        kind: `calibrated` only if corrected answers were judged in every cell and no judge objects in any.
        headline: What was judged, and how it came out.
        explanation: The numbers behind it.
    """

    kind: Literal["calibrated", "partly judged", "not judged", "not calibrated"]
    headline: str
    explanation: str


def outcome_of(cells: Sequence[CellReport]) -> Outcome:
    """Sums up all cells, at least one."""
    judged = [cell for cell in cells if cell.corrected is not None]
    bad = [cell for cell in judged if cell.corrected is not None and not cell.corrected.calibrated]
    unjudged = [cell for cell in cells if cell.corrected is None]
    good_raw = sum(cell.raw.calibrated for cell in cells)
    explanation = (
        "Datasets were simulated from the model, and each posterior was compared with the latents that made its data. "
        f"{_shares(cell.trusted for cell in cells)} of the datasets of a cell got an answer with verdict 'corrected', "
        "and these answers are judged where there are enough of them. Before any correction, q itself is calibrated "
        f"in {good_raw} of {len(cells)} cells."
    )
    if bad:
        of = f"{len(bad)} of {len(judged)} cells" + (" that could be judged" if unjudged else "")
        headline = f"Corrected answers are not calibrated in {of}."
        return Outcome("not calibrated", headline, f"{explanation} Not calibrated: {_some(bad)}.")
    if not judged:
        headline = (
            f"Nothing could be judged: too few answers are corrected in all {len(cells)} cells; q itself is calibrated "
            f"in {good_raw}."
        )
        return Outcome("not judged", headline, explanation)
    if unjudged:
        headline = (
            f"Corrected answers are calibrated in the {len(judged)} of {len(cells)} cells that could be judged; in the "
            "others they are too few."
        )
        return Outcome("partly judged", headline, f"{explanation} Not judged: {_some(unjudged)}.")
    return Outcome("calibrated", f"Corrected answers are calibrated in all {len(cells)} cells.", explanation)


def cell_name(report: CellReport) -> str:
    """Such as `45 rows, 3 features`."""
    return ", ".join([f"{report.cell.rows} rows", *(f"{size} {plate}" for plate, size in report.cell.plates.items())])


def _shares(shares: Iterable[float]) -> str:
    found = list(shares)
    low, high = f"{min(found):.0%}", f"{max(found):.0%}"
    return low if low == high else f"{low} to {high}"


def _some(cells: Sequence[CellReport], most: int = 4) -> str:
    names = [cell_name(cell) for cell in cells]
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")
