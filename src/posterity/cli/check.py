"""`posterity check`: calibration and efficiency of an estimator over its envelope."""

import dataclasses
import json as json_format
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import Json, ModelFile, Seed, takes_fields_of, without_folders
from posterity.cli.output import check_output, note_written, print_json, result_console
from posterity.cli.table_request import EstimatorName, load_estimator
from posterity.cli.user_model import file_of
from posterity.runtime.errors import InputError
from posterity.runtime.plain import without_nan
from posterity.runtime.status import no_status

if TYPE_CHECKING:
    from posterity.calibration.judgement import Coverage, Judgement
    from posterity.estimator.check import Calibration
    from posterity.estimator.estimator import Estimator

__all__ = ["check"]

Datasets = Annotated[int, typer.Option(min=1, help="Datasets to simulate in each cell, or more if need be.")]
Draws = Annotated[int, typer.Option(min=1, help="Draws of q for each dataset.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.json", help="Write the numbers there, too.")
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file, figures included.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 unless all cells could be judged and are calibrated.")
]

Keep = Annotated[
    bool, typer.Option("--keep", help="Write the outcome into the trained estimator, whose answers then tell it.")
]

_STYLES = {"calibrated": "green", "partly judged": "yellow", "not judged": "red", "not calibrated": "red"}


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
    strict: Strict = False
    keep: Keep = False

    def run(self, words: Sequence[str]) -> int:
        """Simulates, judges, shows, and returns the exit code.

        Args:
            words: The command line after `posterity`.
        """
        inputs = [file_of(place) for place in (self.estimator, self.model) if place is not None]
        output_there = check_output(self.output, ".json", inputs=inputs)
        report_there = check_output(self.report, ".html", inputs=[*inputs, self.output])
        estimator = load_estimator(self.estimator, self.model)
        if self.keep and estimator.architecture is None:
            raise InputError(f"--keep: '{self.estimator}' was not trained, so there is no estimator to keep it in")
        found = _checked(estimator, self.datasets, self.draws, self.seed)
        record = found.to_json()
        if self.output is not None:
            _write(record, self.output)
        if self.report is not None:
            found.report(self.report, command=shlex.join(["posterity", *without_folders(words)]))
        if self.json:
            print_json(record)
        else:
            _print_table(found)
        if self.keep:
            found.kept_by(estimator).save(self.estimator)
            note_written(Path(self.estimator), True)
        note_written(self.output, output_there)
        note_written(self.report, report_there)
        return int(self.strict and not found.is_calibrated)


@takes_fields_of(CheckRequest)
def check(ctx, **given: Any) -> None:
    """Check calibration, coverage and importance weights over the envelope."""
    raise typer.Exit(CheckRequest(**given).run(ctx.obj))


def _checked(estimator: "Estimator", datasets: int, draws: int, seed: int) -> "Calibration":
    """What the check found, progress shown meanwhile."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from posterity.estimator.check import check as check_estimator

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with no_status(), Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling ...", total=None)

        def advance(done: int, total: int, rows: int) -> None:
            progress.update(task, completed=done, total=total, description=f"datasets of {rows} rows")

        return check_estimator(estimator, num_datasets=datasets, num_draws=draws, seed=seed, on_progress=advance)


def _write(record: dict[str, Any], output: Path) -> None:
    try:
        output.write_text(json_format.dumps(without_nan(record), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"cannot write '{output}': {error.strerror}") from error


def _print_table(found: "Calibration") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{found.model}: {found.num_draws} draws of each dataset",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),
    )
    sizes = ["rows", *found.cells[0].cell.plates]
    for name in (*sizes, "sets", "ESS", "k-hat ok", "-log q", "ELBO"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("draws", no_wrap=True)
    for name in ("50% has", "90% has", "SBC p", "TARP p", "C2ST"):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in found.cells:
        own = [
            str(cell.cell.rows),
            *map(str, cell.cell.plates.values()),
            str(cell.num_datasets),
            f"{cell.ess_fraction:.0%}",
            f"{cell.healthy:.0%}",
            f"{cell.forward_nll:.2f}",
            f"{cell.elbo:.1f}",
        ]
        _add_judgement(table, own, "raw", cell.raw)
        _add_judgement(table, [""] * len(own), "corrected", cell.corrected)
    console, outcome = result_console(), found.outcome
    console.print(Text.assemble((outcome.kind, f"bold {_STYLES[outcome.kind]}"), "  ", outcome.headline))
    console.print(table)
    console.print(*found.notes, style="dim")


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
