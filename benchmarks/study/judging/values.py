"""Our values for the cells: of each cell the rows of its largest preset, the newest of each seed."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from report_text import Row

from study.judging.paper_cells import Key, stream_of

__all__ = ["PRESETS", "Estimate", "Study"]

PRESETS = ("smoke", "laptop", "paper")
CONVERGED_SHARE, LARGEST_R_HAT = 0.95, 1.01


@dataclass(frozen=True)
class Estimate:
    """A measured value: the mean over seeds.

    Args:
        value: The mean.
        error: Standard error over seeds; over test datasets where there is one seed.
        num_seeds: How many seeds.
        dataset_error: Standard error over test datasets, of one seed.
    """

    value: float
    error: float
    num_seeds: int
    dataset_error: float


class Study:
    """The rows behind every cell."""

    def __init__(self, rows: Iterable[Row]):
        self.all_rows = list(rows)
        self.questions = [row for row in self.all_rows if row["setup"] == "question"]
        self._rows = _largest_presets(row for row in self.all_rows if row["setup"] != "question")

    def __iter__(self) -> Iterator[Key]:
        """Every cell that was measured, in the order of the rows."""
        return iter(self._rows)

    def rows(self, key: Key) -> list[Row]:
        """The rows of one cell, a seed each; none if it was not run."""
        return self._rows.get(key, [])

    def estimate(self, key: Key, measure: str) -> Estimate | None:
        """The mean over seeds, None if no row has this measure."""
        found = list(self.by_seed(key, measure).values())
        if not found:
            return None
        values = np.array([entry["mean"] for entry in found], float)
        over_datasets = float(np.mean([entry.get("se") or 0.0 for entry in found]))
        over_seeds = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else over_datasets
        return Estimate(float(values.mean()), over_seeds, len(values), over_datasets)

    def by_seed(self, key: Key, measure: str) -> dict[int, dict[str, float]]:
        """Mean and standard error over test datasets, for each seed that has this measure."""
        found = {row["seed"]: row["metrics"].get(measure) for row in self.rows(key)}
        return {seed: entry for seed, entry in found.items() if entry and entry.get("mean") is not None}

    def mean_by_seed(self, key: Key, measure: str) -> dict[int, float]:
        """The mean over test datasets, for each seed that has this measure."""
        return {seed: entry["mean"] for seed, entry in self.by_seed(key, measure).items()}

    def by_dataset(self, key: Key, measure: str) -> dict[tuple[int, int], float]:
        """The value on each test dataset, by seed and number of the dataset; none where rows have means alone."""
        return {
            (seed, number): value
            for seed, entry in self.by_seed(key, measure).items()
            for number, value in enumerate(entry.get("by_dataset", ()))
        }

    def by_table(self, key: Key, measure: str) -> dict[str, float]:
        """Scores on real tables, seeds averaged; none for a measure that is not theirs."""
        scores: dict[str, list[float]] = defaultdict(list)
        for row in self.rows(key):
            if measure in row["metrics"]:
                for name, score in row.get("tables", {}).items():
                    scores[name].append(score)
        return {name: float(np.mean(found)) for name, found in scores.items()}

    def steps(self, key: Key) -> int | None:
        """Training steps of the shortest run, None where nothing was trained."""
        steps = [row["steps"] for row in self.rows(key) if row.get("steps")]
        return min(steps) if steps else None

    def preset(self, key: Key) -> str:
        """The preset of a cell's rows."""
        return self.rows(key)[0]["preset"] if self.rows(key) else ""

    def num_tables(self, key: Key) -> int | None:
        """Over how many of the paper's real tables a cell averages; None where no row says."""
        return min((row["num_in_paper"] for row in self.rows(key) if "num_in_paper" in row), default=None)

    def nuts_converged(self, setup: str, column: str) -> bool | None:
        """Whether the long NUTS runs of a column did; None without any, or without a word about it."""
        key = Key(setup, column, "nuts")
        if share := self.estimate(key, "converged"):
            return share.value >= CONVERGED_SHARE
        r_hat = self.estimate(key, "r_hat")
        return None if r_hat is None else r_hat.value <= LARGEST_R_HAT


def _largest_presets(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Rows by cell and seed; a later row of the same seed replaces an earlier one."""
    cells: dict[Key, dict[tuple[str, int], Row]] = defaultdict(dict)
    for row in rows:
        stream = stream_of(row["column"], row.get("stream"))
        cells[Key(row["setup"], row["column"], row["method"], stream)][row["preset"], row["seed"]] = row
    return {key: _of_largest_preset(list(found.values())) for key, found in cells.items()}


def _of_largest_preset(rows: list[Row]) -> list[Row]:
    largest = max((row["preset"] for row in rows), key=PRESETS.index)
    return [row for row in rows if row["preset"] == largest]
