"""`posterity check`: calibration and efficiency of an estimator over its envelope."""

import dataclasses
import json as json_format
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import Json, ModelFile, Seed, takes_fields_of, without_folders
from posterity.cli.output import check_output, note_written, print_json, result_console
from posterity.cli.table_request import EstimatorName, load_estimator
from posterity.cli.user_model import file_of
from posterity.runtime.plain import without_nan
from posterity.runtime.status import no_status

if TYPE_CHECKING:
    from posterity.calibration.judgement import Coverage, Judgement
    from posterity.calibration.report import CellReport
    from posterity.estimator.estimator import Estimator
    from posterity.simulation.simulator import Simulator

__all__ = ["check"]

Datasets = Annotated[int, typer.Option(min=20, help="Datasets to simulate in each cell.")]
Draws = Annotated[int, typer.Option(min=25, help="Draws of q for each dataset.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.json", help="Write the numbers there, too.")
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file, figures included.")
]

SIMULATED = "Datasets are simulated from the model, prior included, whatever stream the estimator was trained on."
JUDGED = (
    "raw: q as it is. corrected: weighted draws, where the verdict is 'corrected'; nothing is refined here. "
    "p-values are adjusted for the number of latents."
)
RULE = "Marked: not calibrated (a false alarm in 1 of 1000 cells, by SBC, TARP and C2ST together)."
ZSCORED = "It was trained on z-scored tables, which differ from these simulations."


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What was asked for: one field for each argument and option of `posterity check`."""

    estimator: EstimatorName
    model: ModelFile = None
    datasets: Datasets = 200
    draws: Draws = 1000
    seed: Seed = 0
    output: Output = None
    report: Report = None
    json: Json = False

    def run(self, words: Sequence[str]) -> None:
        """Simulates, judges and shows.

        Args:
            words: The command line after `posterity`.
        """
        inputs = [file_of(place) for place in (self.estimator, self.model) if place is not None]
        output_there = check_output(self.output, ".json", inputs=inputs)
        report_there = check_output(self.report, ".html", inputs=[*inputs, self.output])
        trained = load_estimator(self.estimator, self.model)
        started = time.perf_counter()
        cells = _reports(trained, self.datasets, self.draws, self.seed)
        seconds = time.perf_counter() - started
        stream = trained.record.get("stream", {}).get("type")
        about = [SIMULATED, *([ZSCORED] if stream == "ZScoredTables" else [])]
        record = {
            "model": trained.model.name,
            "stream": stream,
            "seed": self.seed,
            "num_datasets": self.datasets,
            "num_draws": self.draws,
            "notes": [*about, JUDGED, RULE],
            "cells": [cell.to_json() for cell in cells],
        }
        if self.output is not None:
            _write(record, self.output)
        if self.report is not None:
            from posterity.report import write_check_report

            command = shlex.join(["posterity", *without_folders(words)])
            name = trained.model.name
            write_check_report(
                cells, self.report, model=name, notes=about, command=command, seed=self.seed, seconds=seconds
            )
        if self.json:
            print_json(record)
        else:
            _print_table(record, cells)
        note_written(self.output, output_there)
        note_written(self.report, report_there)


@takes_fields_of(CheckRequest)
def check(ctx, **given: Any) -> None:
    """Check calibration, coverage and importance weights over the envelope."""
    CheckRequest(**given).run(ctx.obj)


def _simulator(trained: "Estimator") -> "Simulator":
    """What the estimator was trained with; the usual one of a built-in model that was not trained."""
    from posterity.model.builtin import builtin_entry
    from posterity.simulation.builtin import builtin_simulator

    if trained.simulator is not None:
        return trained.simulator
    entry = builtin_entry(trained.model.function)
    assert entry is not None  # only built-in models are informed here
    return builtin_simulator(entry, check=False)


def _reports(trained: "Estimator", datasets: int, draws: int, seed: int) -> "list[CellReport]":
    from jax import random
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from posterity.calibration.cells import envelope_cells
    from posterity.calibration.report import calibrate

    simulator = _simulator(trained)
    cells = envelope_cells(simulator.envelope)
    keys = random.split(random.key(seed), len(cells))
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    found = []
    with no_status(), Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling ...", total=len(cells) * datasets)
        for i, (cell, key) in enumerate(zip(cells, keys, strict=True)):

            def advance(done: int, i: int = i, rows: int = cell.rows) -> None:
                progress.update(task, completed=i * datasets + done, description=f"datasets of {rows} rows")

            found.append(
                calibrate(
                    trained.network,
                    simulator,
                    cell,
                    rng_key=key,
                    num_datasets=datasets,
                    num_draws=draws,
                    on_progress=advance,
                )
            )
    return found


def _write(record: dict[str, Any], output: Path) -> None:
    from posterity.runtime.errors import InputError

    try:
        output.write_text(json_format.dumps(without_nan(record), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write '{output}': {error.strerror}") from error


def _print_table(record: dict[str, Any], cells: "list[CellReport]") -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"{record['model']}: {record['num_datasets']} datasets a cell, {record['num_draws']} draws",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),
    )
    sizes = ["rows", *cells[0].cell.plates]
    for name in (*sizes, "ESS", "k-hat ok", "-log q", "ELBO"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("draws", no_wrap=True)
    for name in ("50% has", "90% has", "SBC p", "TARP p", "C2ST"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        own = [
            str(cell.cell.rows),
            *map(str, cell.cell.plates.values()),
            f"{cell.ess_fraction:.0%}",
            f"{cell.healthy:.0%}",
            f"{cell.forward_nll:.2f}",
            f"{cell.elbo:.1f}",
        ]
        _add_judgement(table, own, "raw", cell.raw)
        _add_judgement(table, [""] * len(own), "corrected", cell.corrected)
    console = result_console()
    console.print(table)
    console.print(*record["notes"], style="dim")


def _add_judgement(table: Any, own: list[str], draws: str, judged: "Judgement | None") -> None:
    """One line of the table, which Rich must not read as markup."""
    from rich.text import Text

    if judged is None:
        found = ["too few", "", "", "", ""]
    else:
        coverages = [_share(judged.coverage[level]) for level in ("50", "90")]
        p_values = [f"{p:.1g}" for p in (judged.sbc_p_value, judged.tarp_p_value)]
        found = [*coverages, *p_values, f"{judged.c2st.accuracy:.0%}"]
    marked = judged is not None and not judged.calibrated
    table.add_row(*[Text(text) for text in (*own, draws, *found)], style="yellow" if marked else "")


def _share(coverage: "Coverage") -> str:
    return f"{100 * coverage.mean:.0f}±{coverage.error:.0%}"
