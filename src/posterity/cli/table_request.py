"""What the commands that answer a table share: their arguments and options, and the answer."""

import contextlib
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import (
    Categorical,
    DropMissing,
    Family,
    Json,
    ModelFile,
    Priors,
    Quiet,
    Seed,
    Target,
    Trials,
    Weights,
    parse_priors,
    parse_settings,
)
from posterity.cli.output import note
from posterity.cli.user_model import file_of, load_model, names_a_file
from posterity.runtime.defaults import MOST_DRAWS, NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError, did_you_mean
from posterity.runtime.status import working

if TYPE_CHECKING:
    import polars as pl

    from posterity.estimator.estimator import Estimator
    from posterity.estimator.infer import TableQuestion
    from posterity.inference.posterior import Posterior

__all__ = ["EstimatorName", "TableRequest", "load_estimator", "remark"]

EstimatorName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A built-in model, FILE.py:FUNCTION, or a formula such as 'y ~ x + (1 | school)', answered without "
        "training; or a trained estimator's directory.",
    ),
]
Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="CSV (also .csv.gz) or Parquet, with a header; - for standard input.")
]
Draws = Annotated[int, typer.Option(min=1, max=MOST_DRAWS, help="Draws of the posterior.")]
Refine = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Time for each answer; once it is over, sampling from q on ends. 0 for q alone.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if an answer is untrusted.")]
Standardize = Annotated[bool, typer.Option("--standardize", help="Z-score real columns for a model of your own, too.")]
Ignore = Annotated[list[str] | None, typer.Option(metavar="COL", help="Leave this column out; may be repeated.")]
Columns = Annotated[
    list[str] | None, typer.Option(metavar="COL", help="Take this covariate and no others; may be repeated.")
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="CODE", help="Take this for a missing cell, such as -999; may be repeated.")
]
Separator = Annotated[
    str | None, typer.Option(metavar="CHAR", help="What stands between the cells of a CSV; found out if not given.")
]
Decimal = Annotated[str | None, typer.Option(metavar=". or ,", help="Decimal point of a CSV; found out if not given.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Option of a built-in model, such as prior_sd=2.5."),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableRequest:
    """What was asked for: one field for each argument and option that such commands share."""

    estimator: EstimatorName
    table: Table
    target: Target = None
    family: Family = None
    prior: Priors = None
    trials: Trials = None
    weights: Weights = None
    draws: Draws = NUM_DRAWS
    seed: Seed = 0
    refine: Refine = REFINE_SECONDS
    categorical: Categorical = None
    drop_missing: DropMissing = False
    ignore: Ignore = None
    columns: Columns = None
    missing: Missing = None
    separator: Separator = None
    decimal: Decimal = None
    standardize: Standardize = False
    set_: Settings = None
    model: ModelFile = None
    json: Json = False
    strict: Strict = False
    quiet: Quiet = False
    _guesses: list[str] = dataclasses.field(default_factory=list, init=False)
    _started: float = dataclasses.field(default_factory=time.perf_counter, init=False)

    def inputs(self) -> list[Path | str]:
        """Files that are read: the table, the model's file, the estimator's directory."""
        return [self.table, *(file_of(place) for place in (self.estimator, self.model) if place is not None)]

    def read(self, path: Path, *text_columns: str | None) -> "pl.DataFrame":
        """A table without the columns that are to be ignored.

        Args:
            path: Where it lies.
            *text_columns: Columns to take as they are written, besides the categorical ones.

        Raises:
            InputError: It cannot be read, or lacks such a column.
        """
        from posterity.tables.read import read_table, without_columns

        texts = [*(self.categorical or ()), *self._factors(), *(name for name in text_columns if name is not None)]
        separator = {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator)
        with _as_file(path) as place, working(f"reading {path}"):
            frame = read_table(
                place,
                text_columns=texts,
                missing=self.missing or (),
                separator=separator,
                decimal=self.decimal,
                on_guess=self._guesses.append,
            )
        known = [name for name in self.ignore or () if path == self.table or name in frame.columns]
        frame = without_columns(frame, known, str(path))
        if self.columns:
            wanted = {*self.columns, self.target, self.trials, self.weights, *text_columns}
            _refuse_unknown(self.columns, frame.columns, str(path))
            frame = frame.select([name for name in frame.columns if name in wanted])
        self._guesses.extend(
            f"{path}: column '{name}' looks like an index that was saved beside the data; it is taken as any other, "
            f"--ignore '{name}' leaves it out"
            for name in frame.columns
            if re.fullmatch(r"Unnamed: \d+", name)
        )
        return frame

    def _factors(self) -> tuple[str, ...]:
        """Columns of groups that a formula mentions: "05" is not 5 there, either."""
        from posterity.tables.formula import names_formula, parse_formula

        return parse_formula(self.estimator).factors if names_formula(self.estimator) else ()

    def note_guesses(self) -> None:
        """What was found out about the tables; said at the end, since bad input gets one line."""
        for guess in self._guesses:
            note(guess)

    def open(self, frame: "pl.DataFrame", *, group: str | None = None) -> "TableQuestion":
        """The table as the model takes it, and what answers it.

        Args:
            frame: The table.
            group: Column whose values tell its datasets apart.

        Raises:
            InputError: There is no such model, the table does not suit it, or an option cannot be read.
        """
        from posterity.tables.formula import names_formula

        with working("loading JAX and the model"):
            is_file = names_a_file(self.estimator) and not names_formula(self.estimator)
            which: Any = load_model(self.estimator) if is_file else self.estimator
            from posterity.estimator.infer import open_table

        return open_table(
            which,
            frame,
            target=self.target,
            group=group,
            standardize=True if self.standardize else None,
            categorical=tuple(self.categorical or ()),
            drop_missing=self.drop_missing,
            family=self.family,
            priors=parse_priors(self.prior or ()),
            trials=self.trials,
            weights=self.weights,
            trained_model=None if self.model is None else load_model(self.model),
            options=parse_settings("--set", self.set_ or ()),
            source=str(self.table),
        )

    def settings(self) -> dict[str, Any]:
        """Draws, seed and time, as `TableQuestion.posteriors` takes them."""
        timing = {"refine_seconds": self.refine, "started": self._started}
        return {"num_draws": self.draws, "seed": self.seed, **timing}

    def answer(self, question: "TableQuestion") -> "Posterior":
        """The posterior of a table that is one dataset.

        Raises:
            InputError: The dataset does not fit the model.
        """
        (posterior,) = question.posteriors(**self.settings())
        if posterior.verdict == "unanswered":
            raise InputError(posterior.reasons[0])
        return posterior


@contextlib.contextmanager
def _as_file(path: Path) -> Iterator[Path]:
    """The file of a table; standard input, given as `-`, is kept in one while it lasts."""
    if str(path) != "-":
        yield path
        return
    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / ("standard input.parquet" if content.startswith(b"PAR1") else "standard input.csv")
        place.write_bytes(content)
        try:
            yield place
        except InputError as error:
            raise InputError(str(error).replace(str(place), "standard input")) from None


def _refuse_unknown(names: Sequence[str], columns: Sequence[str], source: str) -> None:
    for name in names:
        if name not in columns:
            raise InputError(f"{source}: --columns '{name}': no such column.{did_you_mean(name, columns)}")


def load_estimator(name_or_path: str, model: str | None) -> "Estimator":
    """The informed estimator of a built-in model, or a trained one, with the user's model where it needs one.

    Raises:
        InputError: There is no such estimator, it is damaged, or the model is another.
    """
    from posterity.estimator.artifact import find_artifact
    from posterity.estimator.estimator import load
    from posterity.estimator.informed import informed, is_informed

    if is_informed(name_or_path):
        return informed(name_or_path)
    return load(find_artifact(name_or_path), None if model is None else load_model(model))


def remark(question: "TableQuestion") -> None:
    """What of the table was left out, and what the codes of its classes mean, on standard error."""
    recipe = question.recipe
    if question.table.dropped_rows:
        note(f"left out {question.table.dropped_rows} rows with missing values")
    if recipe.unused:
        note(f"columns that the model does not take: {', '.join(recipe.unused)}")
    if recipe.classes:
        codes = ", ".join(f"{code} = {label}" for code, label in enumerate(recipe.classes))
        note(f"classes of '{recipe.target}': {codes}")
