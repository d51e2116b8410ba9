"""`posterity infer`: an estimator and a table in, a checked posterior out, or one for each group of rows."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import takes_fields_of, without_folders
from posterity.cli.output import check_output, note, note_written, print_json, quietly, result_console
from posterity.cli.table_request import TableRequest, remark
from posterity.runtime.errors import InputError, lookup

if TYPE_CHECKING:
    import polars as pl

    from posterity.inference.posterior import Posterior
    from posterity.results.summary import Summary
    from posterity.trust.nuts import NutsReference

__all__ = ["InferRequest", "infer"]

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Write the posterior for ArviZ as NetCDF (.nc); with --group, all latents (.parquet or .csv).",
    ),
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.html", help="Write a report as one HTML file, figures included.")
]
CompareNuts = Annotated[bool, typer.Option("--compare-nuts", help="Show the same posterior by NUTS beside it.")]
Slim = Annotated[
    bool,
    typer.Option(
        "--slim", help="Leave out of OUT.nc what is computed by row (log likelihood, replicated data) and of the prior."
    ),
]
LookAtFit = Annotated[
    bool, typer.Option("--fit", help="Say as well whether the data look like the model, by data replicated from it.")
]
Group = Annotated[
    str | None, typer.Option(metavar="COL", help="One dataset for each value of this column, answered by itself.")
]

Of = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="With --group: answer this one dataset, as it is answered among all."),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferRequest(TableRequest):
    """What was asked for: one field for each argument and option of `posterity infer`."""

    output: Output = None
    report: Report = None
    group: Group = None
    of: Of = None
    compare_nuts: CompareNuts = False
    fit: LookAtFit = False
    slim: Slim = False

    def run(self, words: Sequence[str]) -> int:
        """Checks everything, answers, and returns the exit code.

        Args:
            words: The command line after `posterity`.
        """
        replaced = self._check_outputs()
        frame = self.read(self.table, self.group)  # before JAX is imported: most mistakes are in the table
        if self.is_many:
            from posterity.cli.groups import answer_groups

            question = self.open(frame, group=self.group)
            counts = answer_groups(
                question,
                self.settings(),
                title=f"{question.estimator.model.name} on {self.table.name}, by {self.group}",
                output=self.output,
                report=self.report,
                command=_command(words),
                as_json=self.json,
            )
            remark(question)
            code = int(self.strict and counts["untrusted"] + counts["unanswered"] > 0)
        else:
            code = self._answer(frame, words)
        self.note_guesses()
        for path, was_there in replaced.items():
            note_written(path, was_there)
        return code

    @property
    def is_many(self) -> bool:
        """Whether more than one dataset is answered."""
        return self.group is not None and self.of is None

    def _check_outputs(self) -> dict[Path | None, bool]:
        """Every output, and whether there is such a file already."""
        if self.of is not None and self.group is None:
            raise InputError(f"--of {self.of}: says which dataset of --group COL to answer; give --group, too")
        suffixes = (".parquet", ".csv") if self.is_many else (".nc",)
        for option, given in (("--compare-nuts", self.compare_nuts), ("--fit", self.fit)):
            if self.is_many and given:
                raise InputError(f"{option} is for one dataset; name one with --of, or leave --group out")
        return {
            self.output: check_output(self.output, *suffixes, inputs=self.inputs()),
            self.report: check_output(self.report, ".html", inputs=[*self.inputs(), self.output]),
        }

    def _answer(self, frame: "pl.DataFrame", words: Sequence[str]) -> int:
        question = self.open(frame, group=self.group)
        if self.of is not None:
            known = {str(name): dataset for name, dataset in question.datasets.items()}
            question = question._replace(datasets={self.of: lookup("dataset", self.of, known)})
        posterior = self.answer(question)
        reference = _by_nuts(posterior, self.seed) if self.compare_nuts else None
        title = f"{posterior.model.name} on {self.table.name}{'' if self.of is None else f', {self.group} {self.of}'}"
        if self.output is not None:
            self._write(posterior, self.output)
        if self.report is not None:
            posterior.report(self.report, title=title, command=_command(words), seed=self.seed)
        remark(question)
        _remark(reference)
        if self.json:
            print_json(_as_json(posterior, self.draws, reference, self.fit))
        else:
            _print_table(posterior, title, reference, self.fit)
        return int(self.strict and posterior.verdict == "untrusted")

    def _write(self, posterior: "Posterior", output: Path) -> None:
        from posterity.results.arviz import draws_that_fit, to_arviz, write_netcdf

        num_draws = None
        if not self.slim and (fit := draws_that_fit(posterior)) < posterior.resampled_all.size:
            num_draws = max(fit, posterior.num_chains)
            note(f"{output}: thinned to {num_draws} draws, so that what is told of each row fits; --slim keeps all")
        tree = to_arviz(posterior, num_draws=num_draws, groups=() if self.slim else None, seed=self.seed)
        write_netcdf(tree, output)


@takes_fields_of(InferRequest)
def infer(ctx, **given: Any) -> None:
    """Infer the posterior of the dataset in a table, and say how far to trust it."""
    request = InferRequest(**given)
    with quietly(request.quiet):
        raise typer.Exit(request.run(ctx.obj))


def _command(words: Sequence[str]) -> str:
    """The command line, as it may be shown to others."""
    return shlex.join(["posterity", *without_folders(words)])


def _by_nuts(posterior: "Posterior", seed: int) -> "NutsReference":
    from posterity.runtime.precision import precision_of
    from posterity.trust.nuts import nuts_reference

    with precision_of(posterior.data):
        return nuts_reference(posterior.model, posterior.data, seed=seed)


def _remark(reference: "NutsReference | None") -> None:
    if reference is not None:
        state = "" if reference.converged else "; not converged, so no reference"
        note(
            f"NUTS: {reference.num_chains} chains, worst R-hat {reference.max_r_hat:.3f}, smallest ESS "
            f"{reference.min_ess:.0f}, {reference.num_divergent} divergent, {reference.seconds:.1f} s{state}"
        )


def _as_json(
    posterior: "Posterior", num_draws: int, reference: "NutsReference | None", with_fit: bool
) -> dict[str, Any]:
    from posterity.results.to_json import posterior_to_json

    entry = posterior_to_json(posterior)
    if posterior.recipe is not None and posterior.recipe.classes:
        entry["classes"] = list(posterior.recipe.classes)
    if with_fit:
        entry["fit"] = posterior.fit.to_json()
    if reference is not None:
        entry["nuts"] = {
            "max_r_hat": reference.max_r_hat,
            "min_ess": reference.min_ess,
            "seconds": round(reference.seconds, 3),
            "latents": _reference_summary(posterior, reference),
        }
    seconds = round(posterior.seconds, 4)
    return {"model": posterior.model.name, "num_draws": num_draws, "seconds": seconds, "datasets": [entry]}


def _reference_summary(posterior: "Posterior", reference: "NutsReference") -> "Summary":
    from posterity.results.summary import summarise_as_usual

    return summarise_as_usual(posterior, reference.draws)


def _print_table(posterior: "Posterior", title: str, reference: "NutsReference | None", with_fit: bool) -> None:
    from posterity.results.summary import summarise_in_table_units, usual_summary
    from posterity.results.table import posterior_table

    recipe = posterior.recipe
    is_in_table_units = recipe is not None and recipe.units == "table"
    is_scaled = recipe is not None and recipe.scaling is not None and not is_in_table_units
    table = posterior_table(
        usual_summary(posterior),
        title=f"{title}: {posterior.size_in_words}" + (", z-scored" if is_scaled else ""),
        verdict=posterior.verdict,
        reasons=posterior.reasons,
        pareto_k=posterior.pareto_k,
        ess=posterior.ess,
        num_draws=posterior.num_weighed,
        is_doubtful=posterior.is_doubtful,
        fit=posterior.fit if with_fit else None,
        reference=None if reference is None else _reference_summary(posterior, reference),
        table_units=None if is_in_table_units else summarise_in_table_units(posterior),
    )
    result_console().print(table)
