"""`posterity train`: a model in, an estimator out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posterity.cli.options import (
    Categorical,
    DropMissing,
    Json,
    Seed,
    Target,
    parse_plates,
    parse_range,
    parse_settings,
    takes_fields_of,
)
from posterity.cli.output import quietly
from posterity.runtime.errors import InputError, lookup

if TYPE_CHECKING:
    from posterity.amortized.objectives import AbstractObjective

__all__ = ["TrainRequest", "train"]

AS_GIVEN = (
    *("like", "target", "standardize", "drop_missing", "covariates", "stream", "encoder", "family"),
    *("minutes", "steps", "batch_size", "learning_rate", "seed", "resume"),
)
"""Options that `posterity.train` takes as they are."""

DATA, NETWORK, OBJECTIVE, RUN = "Envelope and table", "Network", "Objective", "Run"

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Built-in model, or FILE.py:FUNCTION of your own.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Directory for the estimator.")]
Minutes = Annotated[
    float | None,
    typer.Option(help="Time budget, compilation excluded; 5 where no budget is given.", rich_help_panel=RUN),
]
Steps = Annotated[int | None, typer.Option(help="Step budget.", rich_help_panel=RUN)]
Rows = Annotated[str | None, typer.Option(metavar="LO:HI", help="Numbers of rows to train for.", rich_help_panel=DATA)]
Features = Annotated[
    str | None, typer.Option(metavar="LO:HI", help="Short for --plate features=LO:HI.", rich_help_panel=DATA)
]
Plate = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=LO:HI", help="Sizes of a plate to train for.", rich_help_panel=DATA),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="Option of the model.", rich_help_panel=DATA),
]
Encoder = Annotated[
    str | None, typer.Option(help="deep_sets, gru, set_transformer or transformer.", rich_help_panel=NETWORK)
]
Family = Annotated[str | None, typer.Option(help="diagonal, flow, full or precision.", rich_help_panel=NETWORK)]
Objective = Annotated[str | None, typer.Option(help="forward, reverse or symmetric.", rich_help_panel=OBJECTIVE)]
NumSamples = Annotated[int | None, typer.Option(help="Reverse KL: draws per dataset.", rich_help_panel=OBJECTIVE)]
StickTheLanding = Annotated[
    bool,
    typer.Option("--stick-the-landing", help="Reverse KL: gradient without the score term.", rich_help_panel=OBJECTIVE),
]
KLWarmup = Annotated[
    float | None,
    typer.Option(help="Reverse KL: share of the budget to warm up over.", rich_help_panel=OBJECTIVE),
]
Stream = Annotated[
    str | None,
    typer.Option(help="Training datasets: simulated or tables (z-scored).", rich_help_panel=OBJECTIVE),
]
Covariates = Annotated[
    str | None, typer.Option(help="normal, table or resampled (rows of --like).", rich_help_panel=DATA)
]
Like = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="A table like yours: shows columns and covariates.", rich_help_panel=DATA),
]
Standardize = Annotated[bool, typer.Option("--standardize", help="Z-score the table of --like.", rich_help_panel=DATA)]
BatchSize = Annotated[int | None, typer.Option(help="Datasets per step.", rich_help_panel=RUN)]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate.", rich_help_panel=RUN)]
PartOption = Annotated[
    list[str] | None,
    typer.Option(metavar="K=V", help="Option of that part; repeatable.", rich_help_panel=NETWORK),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.run.", rich_help_panel=RUN)]
KeepRun = Annotated[
    bool,
    typer.Option("--keep-run", help="Keep OUT.run (checkpoints, metrics) afterwards.", rich_help_panel=RUN),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.", rich_help_panel=RUN)]


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """What was asked for: one field for each argument and option of `posterity train`."""

    model: Model
    output: Output
    minutes: Minutes = None
    steps: Steps = None
    rows: Rows = None
    features: Features = None
    plate: Plate = None
    set_: Set = None
    encoder: Encoder = None
    family: Family = None
    objective: Objective = None
    num_samples: NumSamples = None
    stick_the_landing: StickTheLanding = False
    kl_warmup: KLWarmup = None
    stream: Stream = None
    covariates: Covariates = None
    like: Like = None
    target: Target = None
    standardize: Standardize = False
    categorical: Categorical = None
    drop_missing: DropMissing = False
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    encoder_option: PartOption = None
    family_option: PartOption = None
    trunk_option: PartOption = None
    seed: Seed = 0
    resume: Resume = False
    keep_run: KeepRun = False
    json: Json = False
    quiet: Quiet = False

    def run(self, words: Sequence[str]) -> int:
        """Checks everything, trains, and returns the exit code.

        Args:
            words: The command line after `posterity`.
        """
        from posterity.cli.training_run import TrainingRun
        from posterity.cli.user_model import load_model, names_a_file
        from posterity.estimator.artifact import check_writable

        check_writable(self.output)
        wanted = {
            "rows": parse_range("--rows", self.rows) if self.rows else None,
            "plates": parse_plates(self.features, self.plate or ()),
            "options": parse_settings("--set", self.set_ or ()),
            "objective": self._objective(),
            "architecture": self._part_options(),
            "categorical": tuple(self.categorical or ()),
            **{name: getattr(self, name) for name in AS_GIVEN},
        }
        model = load_model(self.model) if names_a_file(self.model) else self.model
        run = TrainingRun(self.output, words, as_json=self.json, keep_run=self.keep_run)
        return run.to_its_end(model, wanted)

    def _objective(self) -> "str | AbstractObjective | None":
        """The objective by name, or with the options of its reverse part, which alone ask for reverse KL."""
        given = {
            "num_samples": self.num_samples,
            "stick_the_landing": self.stick_the_landing or None,
            "kl_warmup": self.kl_warmup,
        }
        options = {name: value for name, value in given.items() if value is not None}
        if not options:
            return self.objective
        from posterity.amortized.objectives import OBJECTIVES, ReverseKL, SymmetricKL

        reverse = ReverseKL(**options)
        if self.objective in (None, "reverse"):
            return reverse
        if self.objective == "symmetric":
            return SymmetricKL(reverse=reverse)
        lookup("objective", self.objective, OBJECTIVES)
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise InputError(f"{flags}: options of the reverse KL; add --objective reverse or symmetric")

    def _part_options(self) -> dict[str, Any]:
        given = {"encoder": self.encoder_option, "family": self.family_option, "trunk": self.trunk_option}
        return {f"{part}_options": parse_settings(f"--{part}-option", texts) for part, texts in given.items() if texts}


@takes_fields_of(TrainRequest)
def train(ctx, **given: Any) -> None:
    """Train an estimator of a model's posterior."""
    request = TrainRequest(**given)
    with quietly(request.quiet):
        raise typer.Exit(request.run(ctx.obj))
