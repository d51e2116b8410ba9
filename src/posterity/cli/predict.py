"""`posterity predict`: a table to learn from and new rows in, predictions out."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import takes_fields_of
from posterity.cli.output import check_output, note, note_written, print_json, quietly, result_console
from posterity.cli.table_request import TableRequest
from posterity.runtime.errors import InputError

if TYPE_CHECKING:
    from posterity.inference.posterior import Posterior
    from posterity.results.predict import Predictions

__all__ = ["PredictRequest", "predict"]

NewRows = Annotated[
    Path,
    typer.Argument(metavar="NEW_ROWS", help="CSV or Parquet with the covariates of TABLE."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.csv", help="Write the predictions of all rows as CSV.")
]
Interval = Annotated[float, typer.Option(metavar="P", help="Probability between the bounds.")]

MAX_SHOWN = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictRequest(TableRequest):
    """What was asked for: one field for each argument and option of `posterity predict`."""

    new_rows: NewRows
    output: Output = None
    interval: Interval = 0.9

    def run(self) -> int:
        """Checks everything, answers, predicts, and returns the exit code."""
        replaced = check_output(self.output, ".csv", inputs=[*self.inputs(), self.new_rows])
        if not 0.0 < self.interval < 1.0:
            raise InputError(f"--interval {self.interval:g}: expected a probability above 0 and below 1, such as 0.9")
        frame, rows = self.read(self.table), self.read(self.new_rows)  # before JAX: most mistakes are in the tables
        question = self.open(frame)
        # Before the inference, which takes longer: the new rows may lack a column, or have a category that is new.
        question.recipe.new_rows(rows, drop_missing=self.drop_missing, source=str(self.new_rows))
        posterior = self.answer(question)
        predicted = posterior.predict(
            rows, interval=self.interval, seed=self.seed, drop_missing=self.drop_missing, source=str(self.new_rows)
        )
        if self.output is not None:
            _write(predicted, self.output)
        _remark(predicted)
        if self.json:
            print_json(_as_json(posterior, predicted))
        else:
            _print_table(posterior, predicted, f"{predicted.target} of {self.new_rows.name}")
        self.note_guesses()
        note_written(self.output, replaced)
        return int(self.strict and predicted.verdict == "untrusted")


@takes_fields_of(PredictRequest)
def predict(ctx, **given: Any) -> None:
    """Infer the posterior of a table, and predict the target of new rows with it."""
    del ctx
    request = PredictRequest(**given)
    with quietly(request.quiet):
        raise typer.Exit(request.run())


def _write(predicted: "Predictions", output: Path) -> None:
    from posterity.runtime.files import replacing

    with replacing(output) as unfinished:
        unfinished.write_text(predicted.to_frame().write_csv(), encoding="utf-8")


def _remark(predicted: "Predictions") -> None:
    empty = predicted.to_frame().drop("row").to_series(0).null_count()
    if empty:
        note(f"no prediction for {empty} of {len(predicted.mean)} rows, which have missing values")


def _as_json(posterior: "Posterior", predicted: "Predictions") -> dict[str, Any]:
    return {
        "model": posterior.model.name,
        "target": predicted.target,
        "kind": predicted.kind,
        "interval": predicted.interval,
        "num_draws": posterior.num_draws,
        "verdict": predicted.verdict,
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess,
        "reasons": list(predicted.reasons),
        "predictions": predicted.to_frame().to_dicts(),
    }


def _print_table(posterior: "Posterior", predicted: "Predictions", title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = result_console()
    console.print(
        Text(f"{predicted.verdict}  from {posterior.num_rows} rows, {posterior.num_draws} draws", style="bold")
    )
    for reason in predicted.reasons:
        console.print(Text(f"  - {reason}"))
    what = "of the probability" if predicted.classes else "of a new observation"
    console.print(Text(f"{title}; bounds hold {predicted.interval:.0%} {what}", style="bold"))
    frame = predicted.to_frame()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        table.add_column(Text(name), justify="right")  # Text, since Rich would read p[yes] as markup
    for line in frame.head(MAX_SHOWN).iter_rows():
        table.add_row(*[Text(_cell(value)) for value in line])
    console.print(table)
    if frame.height > MAX_SHOWN:
        console.print(Text(f"... {frame.height - MAX_SHOWN} more rows; write all with -o", style="dim"))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
