"""`posterity infer`: an estimator and a table in, a checked posterior out, or one for each group of rows."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import takes_fields_of, without_folders
from posterity.cli.output import check_output, note, note_written, print_json, result_console
from posterity.cli.table_request import TableRequest, remark
from posterity.runtime.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from posterity.estimator.infer import TableAnswer
    from posterity.results.summary import Summary
    from posterity.trust.nuts import NutsReference

__all__ = ["InferRequest", "infer"]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Write draws and weights as NetCDF (.nc); with --group, the latents of all groups (.parquet or .csv).",
    ),
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file, figures included.")
]
CompareNuts = Annotated[bool, typer.Option("--compare-nuts", help="Show the same posterior by NUTS beside it.")]
Group = Annotated[
    str | None, typer.Option(metavar="COL", help="One dataset for each value of this column, answered by itself.")
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferRequest(TableRequest):
    """What was asked for: one field for each argument and option of `posterity infer`."""

    output: Output = None
    report: Report = None
    group: Group = None
    compare_nuts: CompareNuts = False

    def run(self, words: Sequence[str]) -> int:
        """Checks everything, answers, and returns the exit code.

        Args:
            words: The command line after `posterity`.
        """
        replaced = self._check_outputs()
        frame = self.read(self.table, self.group)  # before JAX is imported: most mistakes are in the table
        if self.group is not None:
            from posterity.cli.groups import answer_groups

            code = answer_groups(self, frame, self.group, self.output)
        else:
            code = self._answer(frame, words)
        self.note_guesses()
        for path, was_there in replaced.items():
            note_written(path, was_there)
        return code

    def _check_outputs(self) -> dict[Path | None, bool]:
        """Every output, and whether there is such a file already."""
        if self.group is None:
            return {
                self.output: check_output(self.output, ".nc", inputs=self.inputs()),
                self.report: check_output(self.report, ".html", inputs=[*self.inputs(), self.output]),
            }
        there = check_output(self.output, ".parquet", ".csv", inputs=self.inputs())
        for option, given in (("--report", self.report), ("--compare-nuts", self.compare_nuts)):
            if given:
                raise InputError(f"{option} is for one dataset; leave --group out, and give a table of one group")
        return {self.output: there}

    def _answer(self, frame: "pl.DataFrame", words: Sequence[str]) -> int:
        which = self.which()
        from posterity.estimator.infer import infer as infer_table

        found = infer_table(which, frame, **self.how())
        reference = _by_nuts(found, self.seed) if self.compare_nuts else None
        title = f"{found.answer.model} on {self.table.name}"
        if self.output is not None:
            _write(found, self.output)
        if self.report is not None:
            _write_report(found, self.report, title, words, self.seed)
        assert found.recipe is not None  # the dataset was a table
        remark(found.recipe, found.data)
        _remark(reference)
        if self.json:
            print_json(_as_json(found, self.draws, reference))
        else:
            _print_table(found, title, self.draws, reference)
        return int(self.strict and found.answer.verdict == "untrusted")


@takes_fields_of(InferRequest)
def infer(ctx, **given: Any) -> None:
    """Infer the posterior of the dataset in a table, and say how far to trust it."""
    raise typer.Exit(InferRequest(**given).run(ctx.obj))


def _by_nuts(found: "TableAnswer", seed: int) -> "NutsReference":
    from posterity.trust.nuts import nuts_reference

    return nuts_reference(found.problem, found.data.values, seed=seed)


def _write(found: "TableAnswer", output: Path) -> None:
    from posterity.results.arviz import to_datatree, write_netcdf

    write_netcdf(to_datatree(found.answer), output)


def _write_report(found: "TableAnswer", path: Path, title: str, words: Sequence[str], seed: int) -> None:
    from posterity.report.page import write_report

    write_report(found, path, title=title, command=shlex.join(["posterity", *without_folders(words)]), seed=seed)


def _remark(reference: "NutsReference | None") -> None:
    if reference is not None:
        state = "" if reference.converged else "; not converged, so no reference"
        note(
            f"NUTS: {reference.num_chains} chains, worst R-hat {reference.max_r_hat:.3f}, smallest ESS "
            f"{reference.min_ess:.0f}, {reference.num_divergent} divergent, {reference.seconds:.1f} s{state}"
        )


def _as_json(found: "TableAnswer", num_draws: int, reference: "NutsReference | None") -> dict[str, Any]:

    answer = found.answer
    entry = answer_to_json(answer, found.original_units)
    if found.recipe is not None and found.recipe.classes:
        entry["classes"] = list(found.recipe.classes)
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
    from posterity.results.summary import summarise

    return summarise(reference.draws, found.answer.labels)


def _print_table(found: "TableAnswer", title: str, num_draws: int, reference: "NutsReference | None") -> None:
    from posterity.results.summary import summarise_answer
    from posterity.results.table import posterior_table

    answer = found.answer
    table = posterior_table(
        summarise_answer(answer),
        title=f"{title}: {answer.num_rows} rows" + (", z-scored" if found.recipe and found.recipe.scaling else ""),
        verdict=answer.verdict,
        reasons=answer.reasons,
        pareto_k=answer.weights.pareto_k,
        ess=answer.weights.ess,
        num_draws=num_draws,
        reference=None if reference is None else _reference_summary(found, reference),
        original_units=found.original_units,
    )
    result_console().print(table)
