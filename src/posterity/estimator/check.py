"""`posterity.check`: is an estimator, are its verdicts, to be believed in general?"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jax import random

from posterity.calibration.cells import envelope_cells
from posterity.calibration.outcome import Outcome, cell_name, outcome_of
from posterity.calibration.report import CellReport, calibrate, refuse_too_few
from posterity.calibration.simulation import scalar_latents
from posterity.estimator.estimator import Estimator
from posterity.estimator.training_example import Reading, training_simulator
from posterity.model.builtin import builtin_entry
from posterity.model.identity import describe_model
from posterity.runtime.errors import InputError
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.simulator import Simulator

__all__ = ["Calibration", "check"]

NUM_DATASETS, NUM_DRAWS = 200, 1000
FEWEST_DRAWS = 25
SIMULATED = "Datasets are simulated from the model, prior included, whatever stream the estimator was trained on."
JUDGED = (
    "raw: q as it is. corrected: weighted draws, where the verdict is 'corrected'; nothing is refined here. "
    "p-values are adjusted for the number of latents."
)
RULE = "Marked: not calibrated (a false alarm in 1 of 1000 cells, by SBC, TARP and C2ST together)."
ZSCORED = "It was trained on z-scored tables, which differ from these simulations."


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """What a check found; printing it says what was judged.

    Attributes:
        model: Name of the model.
        stream: Type of the datasets that the estimator was trained on; None where nothing was trained.
        cells: What was found at each size of dataset.
        num_draws: Draws of q for each dataset.
        seed: Decided all that was drawn.
        seconds: Wall time that it took, compilation included.
    """

    model: str
    stream: str | None
    cells: tuple[CellReport, ...]
    num_draws: int
    seed: int
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """What it comes to, in words."""
        return outcome_of(self.cells)

    @property
    def is_calibrated(self) -> bool:
        """Whether corrected answers were judged in every cell, and no judge objects in any."""
        return self.outcome.kind == "calibrated"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the numbers."""
        return SIMULATED, *((ZSCORED,) if self.stream == "ZScoredTables" else ()), JUDGED, RULE

    def __repr__(self) -> str:
        found = self.outcome
        lines = [f"Calibration of {self.model}: {found.kind}", f"  {found.headline}"]
        for cell in self.cells:
            judged = "too few" if cell.corrected is None else _passes(cell.corrected.calibrated)
            lines.append(
                f"  {cell_name(cell)}: corrected {judged} ({cell.trusted:.0%} of {cell.num_datasets} datasets), "
                f"raw {_passes(cell.raw.calibrated)}, ESS {cell.ess_fraction:.0%}"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN may stand where there is no number."""
        return {
            "model": self.model,
            "stream": self.stream,
            "outcome": self.outcome.kind,
            "headline": self.outcome.headline,
            "seed": self.seed,
            "num_draws": self.num_draws,
            "notes": list(self.notes),
            "cells": [cell.to_json() for cell in self.cells],
        }

    def kept_by(self, estimator: Estimator) -> Estimator:
        """The same estimator, whose answers tell what this check of it came to; save it to keep that on disk."""
        found = {"outcome": self.outcome.kind, "headline": self.outcome.headline, "seed": self.seed}
        return dataclasses.replace(estimator, record={**estimator.record, "calibration": found})

    def report(self, path: str | Path, *, command: str | None = None) -> None:
        """Writes a report as one HTML file, figures included.

        Args:
            path: The file; replaced if it is there.
            command: How the check was run, for the last section.

        Raises:
            InputError: `path` cannot be written.
        """
        from posterity.report.calibration import write_check_report

        notes = [note for note in self.notes if note in (SIMULATED, ZSCORED)]
        write_check_report(
            self.cells, path, model=self.model, notes=notes, command=command, seed=self.seed, seconds=self.seconds
        )


def check(
    estimator: Estimator,
    *,
    like: Mapping[str, Any] | None = None,
    rows: tuple[int, int] | None = None,
    num_datasets: int = NUM_DATASETS,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    on_progress: Callable[[int, int, int], None] = lambda done, total, rows: None,
) -> Calibration:
    """Simulates datasets of all sizes from the model, and compares posteriors with the latents that made them.

    Args:
        estimator: Trained, loaded or informed.
        like: One dataset whose covariates are drawn from, for an informed estimator of a model of your own; others
            know how theirs are drawn.
        rows: Fewest and most rows of the datasets of an informed estimator; its usual ones if None.
        num_datasets: Datasets of each size; more where that promises enough corrected answers to judge them.
        num_draws: Draws of q for each, at least 25.
        seed: Decides everything that is drawn.
        on_progress: Called with the number of finished datasets, that of all, and rows of the present ones.

    Returns:
        `is_calibrated` says whether all is well; printing it says what was judged.

    Raises:
        InputError: Datasets or draws are too few for the judges, or the estimator's datasets cannot be simulated.
    """
    if num_draws < FEWEST_DRAWS:
        raise InputError(f"check: the number of draws must be at least {FEWEST_DRAWS}; got {num_draws}")
    started = time.perf_counter()
    simulator = _simulator(estimator, like, rows)
    cells = envelope_cells(simulator.envelope)
    refuse_too_few(num_datasets, max(len(scalar_latents(simulator, cell)) for cell in cells))
    found = [
        calibrate(
            estimator.network,
            simulator,
            cell,
            rng_key=key,
            num_datasets=num_datasets,
            num_draws=num_draws,
            on_progress=lambda done, i=i, rows=cell.rows: on_progress(
                i * num_datasets + done, len(cells) * num_datasets, rows
            ),
        )
        for i, (cell, key) in enumerate(zip(cells, random.split(random.key(seed), len(cells)), strict=True))
    ]
    stream = estimator.record.get("stream", {}).get("type")
    seconds = time.perf_counter() - started
    return Calibration(estimator.model.name, stream, tuple(found), num_draws, seed, seconds)


def _simulator(estimator: Estimator, like: Mapping[str, Any] | None, rows: tuple[int, int] | None) -> Simulator:
    """What the estimator was trained with; for an informed one, what makes datasets of its model."""
    if estimator.simulator is not None:
        if like is not None or rows is not None:
            raise InputError("check: 'like' and 'rows' are for informed estimators; this one has those of its training")
        return estimator.simulator
    model = estimator.model
    entry = builtin_entry(model.function)
    if entry is not None and like is None:
        most = model.capacity[entry.plate]
        options = describe_model(model.function)["options"]
        return builtin_simulator(entry, rows, (min(entry.columns[0], most), most), check=False, **options)
    if like is None:
        raise InputError(
            f"check: datasets of '{model.name}' cannot be simulated without covariates: give like={{...}}, one "
            "dataset, argument name -> array with rows first"
        )
    which = model.function if entry is None else entry.name
    options = None if entry is None else describe_model(model.function)["options"]
    simulator = training_simulator(
        which, like, rows=rows, plates=None, covariates=None, options=options, reading=Reading()
    )
    if simulator.model != model:
        raise InputError(
            f"check: a model read from `like` is not that of the estimator '{model.name}': give a dataset with as many "
            "columns and groups as the one that it was made for"
        )
    return simulator


def _passes(calibrated: bool) -> str:
    return "calibrated" if calibrated else "NOT calibrated"
