"""One run of `posterity train`: says what it will do, does it, and leaves an estimator or a way to go on."""

import dataclasses
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from posterity.amortized.architecture import Architecture
from posterity.cli.options import without_folders
from posterity.cli.output import note, print_json
from posterity.cli.progress import ProgressBar
from posterity.cli.recipe import Recipe
from posterity.estimator.estimator import Estimator
from posterity.estimator.train import train
from posterity.informed_posterior.read.structure import NotInformedError, read_structure
from posterity.model.model import Model
from posterity.simulation.simulator import Simulator
from posterity.training import TrainingConfig

__all__ = ["TrainingRun"]

FINE, DIVERGED, INTERRUPTED = 0, 1, 130
STOPPED = {"steps": "step budget spent", "minutes": "time budget spent"}


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """A training that is about to start; everything has been checked.

    Attributes:
        simulator: What is learned.
        architecture: The network's parts, and why these.
        recipe: Objective and stream, and why these.
        config: Budget and settings.
        output: Where the estimator goes.
        words: The command line after `posterity`.
        quiet: No progress and no remarks.
        as_json: End with JSON instead of a sentence.
    """

    simulator: Simulator
    architecture: tuple[Architecture, str]
    recipe: Recipe
    config: TrainingConfig
    output: Path
    words: Sequence[str]
    quiet: bool
    as_json: bool

    @property
    def folder(self) -> Path:
        """Checkpoints and metrics while training."""
        return self.output.with_name(f"{self.output.name}.run")

    def to_its_end(self, *, resume: bool, keep_run: bool) -> int:
        """Trains, writes the estimator, and returns the exit code."""
        if not self.quiet:
            self._announce()
        try:
            with ProgressBar(quiet=self.quiet) as progress:
                estimator = train(
                    self.simulator,
                    architecture=self.architecture[0],
                    objective=self.recipe.objective,
                    stream=self.recipe.stream,
                    config=self.config,
                    folder=self.folder,
                    resume=resume,
                    on_progress=progress,
                )
        except KeyboardInterrupt:
            return self._interrupted(None)
        training = estimator.record["training"]
        if training["stop_reason"] == "interrupted":
            return self._interrupted(training["step"])
        if training["stop_reason"] == "diverged":
            return self._diverged(training["step"])
        command = shlex.join(["posterity", *without_folders(self.words)])
        estimator = dataclasses.replace(estimator, record={**estimator.record, "command": command})
        estimator.save(self.output)
        if not keep_run:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._report(estimator)
        return FINE

    def _announce(self) -> None:
        simulator, (architecture, family_why), recipe = self.simulator, self.architecture, self.recipe
        objective, stream = type(recipe.objective).__name__, type(recipe.stream).__name__
        sizes = {"rows": simulator.envelope.rows, **simulator.envelope.plates}
        envelope = ", ".join(f"{name} {low}..{high}" for name, (low, high) in sizes.items())
        note(f"model      {simulator.model.name}: {simulator.model.space.size} latents; {envelope}")
        if _is_informed(simulator.model):
            note("           it needs no training: posterity infer answers it by the informed posterior, given a table")
        note(f"objective  {objective} on {stream} datasets ({recipe.why})")
        note(f"network    {architecture.encoder} encoder, {architecture.family} family ({family_why})")

    def _interrupted(self, step: int | None) -> int:
        """Says how to go on; a checkpoint has been written if training had begun."""
        at = "" if step is None else f" after {step} steps"
        if not (self.folder / "run.json").exists():
            print(f"interrupted{at}: nothing was written", file=sys.stderr)
            return INTERRUPTED
        words = [word for word in self.words if word != "--resume"]
        again = shlex.join(["posterity", *words, "--resume"])
        print(f"interrupted{at}; no estimator was written. Go on with:\n  {again}", file=sys.stderr)
        return INTERRUPTED

    def _diverged(self, step: int) -> int:
        print(
            f"error: training diverged after {step} steps: the loss was not finite; no estimator was "
            f"written. Lower --learning-rate, and remove {self.folder}, which holds the metrics",
            file=sys.stderr,
        )
        return DIVERGED

    def _report(self, estimator: Estimator) -> None:
        record = estimator.record
        size = sum(file.stat().st_size for file in self.output.iterdir())
        if self.as_json:
            print_json({"estimator": str(self.output), "bytes": size, **record})
            return
        training = record["training"]
        quality = training["validation"]
        print(
            f"wrote {self.output} ({size / 1e6:.1f} MB) after {training['step']} steps "
            f"({STOPPED[training['stop_reason']]}), {training['datasets_per_second']:.0f} datasets/s; "
            f"validation: ESS {quality['ess_fraction']:.0%} (5% quantile {quality['ess_fraction_q05']:.0%}), "
            f"k-hat healthy {quality['healthy']:.0%}, ELBO {quality['elbo']:.2f} nats"
        )


def _is_informed(model: Model) -> bool:
    """Whether the informed posterior serves this model."""
    try:
        read_structure(model)
    except NotInformedError:
        return False
    return True
