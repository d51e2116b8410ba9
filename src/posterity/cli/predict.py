"""`posterity predict`: a table to learn from and new rows in, predictions out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.checks import InputError
from posterity.cli.infer import EstimatorName, Settings, Standardize, Strict, Table, answer_table
from posterity.cli.options import Categorical, DropMissing, Json, ModelFile, Refine, Seed, Target, parse_settings
from posterity.cli.output import check_output, note, print_json, result_console

if TYPE_CHECKING:
    from posterity.results import Answer, Predictions

__all__ = ["predict"]

NewRows = Annotated[
    Path,
    typer.Argument(metavar="NEW_ROWS", help="CSV or Parquet with the covariates of TABLE."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.csv", help="Write the predictions of all rows as CSV.")
]
Interval = Annotated[float, typer.Option(metavar="P", help="Probability between the bounds.")]
Draws = Annotated[int, typer.Option(min=1, help="Draws of the posterior.")]

MAX_SHOWN = 20


def predict(
    estimator: EstimatorName,
    table: Table,
    new_rows: NewRows,
    target: Target = None,
    output: Output = None,
    interval: Interval = 0.9,
    draws: Draws = 1000,
    seed: Seed = 0,
    refine: Refine = 30.0,
    json: Json = False,
    strict: Strict = False,
    categorical: Categorical = None,
    drop_missing: DropMissing = False,
    standardize: Standardize = False,
    model: ModelFile = None,
    set_: Settings = None,
) -> None:
    """Infer the posterior of a table, and predict the target of new rows with it."""
    check_output(output, ".csv")
    if not 0.0 < interval < 1.0:
        raise InputError(f"--interval {interval:g}: expected a probability above 0 and below 1, such as 0.9")
    from posterity.tables import read_table

    frame, rows = read_table(table), read_table(new_rows)  # before JAX is imported: most mistakes are in the tables
    found = answer_table(
        estimator,
        frame,
        target=target,
        num_draws=draws,
        seed=seed,
        refine_seconds=refine,
        standardize=True if standardize else None,
        categorical=tuple(categorical or ()),
        drop_missing=drop_missing,
        model=model,
        options=parse_settings("--set", set_ or ()),
        source=str(table),
    )
    predicted = found.predict(rows, interval=interval, seed=seed, drop_missing=drop_missing, source=str(new_rows))
    if output is not None:
        _write(predicted, output)
    _remark(predicted)
    if json:
        print_json(_as_json(found.answer, predicted))
    else:
        _print_table(found.answer, predicted, f"{predicted.target} of {new_rows.name}")
    if output is not None:
        note(f"wrote {output}")
    raise typer.Exit(int(strict and predicted.verdict == "untrusted"))


def _write(predicted: "Predictions", output: Path) -> None:
    from posterity.files import replacing

    with replacing(output) as unfinished:
        predicted.to_frame().write_csv(unfinished)


def _remark(predicted: "Predictions") -> None:
    empty = predicted.to_frame().drop("row").to_series(0).null_count()
    if empty:
        note(f"no prediction for {empty} of {len(predicted.mean)} rows, which have missing values")


def _as_json(answer: "Answer", predicted: "Predictions") -> dict[str, Any]:
    return {
        "model": answer.model,
        "target": predicted.target,
        "kind": predicted.kind,
        "interval": predicted.interval,
        "num_draws": answer.num_draws,
        "verdict": predicted.verdict,
        "pareto_k": answer.weights.pareto_k,
        "ess": answer.weights.ess,
        "reasons": list(predicted.reasons),
        "predictions": predicted.to_frame().to_dicts(),
    }


def _print_table(answer: "Answer", predicted: "Predictions", title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = result_console()
    console.print(Text(f"{predicted.verdict}  from {answer.num_rows} rows, {answer.num_draws} draws", style="bold"))
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
