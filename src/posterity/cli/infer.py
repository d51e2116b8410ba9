"""`posterity infer`: an estimator and a table in, a checked posterior out."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.cache import keep_compiled_programs
from posterity.cli.options import (
    Categorical,
    DropMissing,
    Json,
    ModelFile,
    Refine,
    Seed,
    Target,
    parse_settings,
    takes_words,
    without_folders,
)
from posterity.cli.output import check_output, note, print_json, result_console
from posterity.cli.user_model import load_model, names_a_file

if TYPE_CHECKING:
    import polars as pl

    from posterity.estimator import Estimator
    from posterity.nuts import NutsReference
    from posterity.results import Summary
    from posterity.table_answer import TableAnswer

__all__ = ["EstimatorName", "Settings", "Standardize", "Strict", "Table", "answer_table", "infer"]

EstimatorName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A built-in model or FILE.py:FUNCTION, answered without training; or a trained estimator's directory.",
    ),
]
Table = Annotated[Path, typer.Argument(metavar="TABLE", help="CSV (also .csv.gz) or Parquet, with a header.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.nc", help="Write draws and weights as NetCDF.")
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file, figures included.")
]
Draws = Annotated[int, typer.Option(min=1, help="Draws of the posterior.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if the answer is untrusted.")]
Standardize = Annotated[bool, typer.Option("--standardize", help="Z-score real columns for a model of your own, too.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Option of a built-in model, such as prior_sd=2.5."),
]
CompareNuts = Annotated[bool, typer.Option("--compare-nuts", help="Show the same posterior by NUTS beside it.")]


@takes_words
def infer(
    words: list[str],
    estimator: EstimatorName,
    table: Table,
    target: Target = None,
    output: Output = None,
    report: Report = None,
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
    compare_nuts: CompareNuts = False,
) -> None:
    """Infer the posterior of the dataset in a table, and say how far to trust it."""
    check_output(output, ".nc")
    check_output(report, ".html")
    from posterity.tables import read_table

    found = answer_table(
        estimator,
        read_table(table),  # before JAX is imported: most mistakes are in the table
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
    reference = _by_nuts(found, seed) if compare_nuts else None
    if output is not None:
        _write(found, output)
    if report is not None:
        _write_report(found, report, words, table, seed)
    _remark(found, reference)
    if json:
        print_json(_as_json(found, draws, reference))
    else:
        _print_table(found, f"{found.answer.model} on {table.name}", draws, reference)
    for written in (output, report):
        if written is not None:
            note(f"wrote {written}")
    raise typer.Exit(int(strict and found.answer.verdict == "untrusted"))


def answer_table(estimator: str, frame: "pl.DataFrame", *, model: str | None, **how: Any) -> "TableAnswer":
    """The answer to a table, from the words of the command.

    Args:
        estimator: A built-in model, `FILE.py:FUNCTION`, or a trained estimator's directory.
        frame: The table.
        model: `FILE.py:FUNCTION` of an estimator that was trained for the user's own model.
        **how: Other arguments of `posterity.infer`.

    Raises:
        InputError: As there.
    """
    keep_compiled_programs()
    from posterity import table_answer

    which = load_model(estimator) if names_a_file(estimator) else estimator
    return table_answer.infer(which, frame, model=None if model is None else load_model(model), **how)


def load_estimator(name_or_path: str, model: str | None) -> "Estimator":
    """The informed estimator of a built-in model, or a trained one, with the user's model where it needs one.

    Raises:
        InputError: There is no such estimator, it is damaged, or the model is another.
    """
    from posterity.estimators import find_estimator

    keep_compiled_programs()
    from posterity.estimator import load
    from posterity.zero_shot import informed_estimator, is_informed

    if is_informed(name_or_path):
        return informed_estimator(name_or_path)
    return load(find_estimator(name_or_path), None if model is None else load_model(model))


def _by_nuts(found: "TableAnswer", seed: int) -> "NutsReference":
    from posterity.nuts import nuts_reference

    return nuts_reference(found.problem, found.data.values, seed=seed)


def _write(found: "TableAnswer", output: Path) -> None:
    from posterity.results import to_datatree, write_netcdf

    write_netcdf(to_datatree(found.answer), output)


def _write_report(found: "TableAnswer", path: Path, words: list[str], table: Path, seed: int) -> None:
    from posterity.report import write_report

    title = f"{found.answer.model} on {table.name}"
    write_report(found, path, title=title, command=shlex.join(["posterity", *without_folders(words)]), seed=seed)


def _remark(found: "TableAnswer", reference: "NutsReference | None") -> None:
    data = found.data
    if data.dropped_rows:
        note(f"left out {data.dropped_rows} rows with missing values")
    if data.unused:
        note(f"columns that the model does not take: {', '.join(data.unused)}")
    if data.classes:
        codes = ", ".join(f"{code} = {label}" for code, label in enumerate(data.classes))
        note(f"classes of '{data.target}': {codes}")
    if reference is not None:
        state = "" if reference.converged else "; not converged, so no reference"
        note(
            f"NUTS: {reference.num_chains} chains, worst R-hat {reference.max_r_hat:.3f}, smallest ESS "
            f"{reference.min_ess:.0f}, {reference.num_divergent} divergent, {reference.seconds:.1f} s{state}"
        )


def _as_json(found: "TableAnswer", num_draws: int, reference: "NutsReference | None") -> dict[str, Any]:
    from posterity.results import answer_to_json

    answer = found.answer
    entry = answer_to_json(answer, found.original_units)
    if found.data.classes:
        entry["classes"] = list(found.data.classes)
    if reference is not None:
        entry["nuts"] = {
            "max_r_hat": reference.max_r_hat,
            "min_ess": reference.min_ess,
            "seconds": round(reference.seconds, 3),
            "latents": _reference_summary(found, reference),
        }
    seconds = round(answer.seconds, 4)
    return {"model": answer.model, "num_draws": num_draws, "seconds": seconds, "datasets": [entry]}


def _reference_summary(found: "TableAnswer", reference: "NutsReference") -> "Summary":
    from posterity.results import summarise

    return summarise(reference.draws, found.answer.labels)


def _print_table(found: "TableAnswer", title: str, num_draws: int, reference: "NutsReference | None") -> None:
    from posterity.results import posterior_table, summarise_answer

    answer = found.answer
    table = posterior_table(
        summarise_answer(answer),
        title=f"{title}: {answer.num_rows} rows" + (", z-scored" if found.data.scaling else ""),
        verdict=answer.verdict,
        reasons=answer.reasons,
        pareto_k=answer.weights.pareto_k,
        ess=answer.weights.ess,
        num_draws=num_draws,
        reference=None if reference is None else _reference_summary(found, reference),
        original_units=found.original_units,
    )
    result_console().print(table)
