"""One run of `posterity train`: says what it will do, does it, and leaves an estimator or a way to go on."""

import contextlib
import dataclasses
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from posterity.cli.options import without_folders
from posterity.cli.output import is_quiet, note, print_json
from posterity.cli.progress import ProgressBar
from posterity.estimator.estimator import Estimator
from posterity.estimator.train import train
from posterity.estimator.training_recipe import TrainingPlan
from posterity.informed_posterior.read.structure import NotInformedError, read_structure
from posterity.model.model import Model

__all__ = ["TrainingRun"]

FINE, DIVERGED, INTERRUPTED = 0, 1, 130
STOPPED = {"steps": "step budget spent", "minutes": "time budget spent"}


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """How one training shows itself.

    Attributes:
        output: Where the estimator goes.
        words: The command line after `posterity`.
        as_json: End with JSON instead of a sentence.
        keep_run: Keep checkpoints and metrics afterwards.
    """

    output: Path
    words: Sequence[str]
    as_json: bool
    keep_run: bool

    @property
    def folder(self) -> Path:
        """Checkpoints and metrics while training."""
        return self.output.with_name(f"{self.output.name}.run")

    def to_its_end(self, model: str | Callable[..., Any], wanted: Mapping[str, Any]) -> int:
        """Trains, writes the estimator, and returns the exit code.

        Args:
            model: Name of a built-in model, or the user's own.
            wanted: Arguments of `posterity.train`.
        """
        try:
            with contextlib.ExitStack() as stack:
                progress = ProgressBar(quiet=is_quiet.get())

                def begin(plan: TrainingPlan) -> None:
                    _announce(plan)
                    stack.enter_context(progress)

                estimator = train(model, **wanted, folder=self.folder, on_plan=begin, on_progress=progress)
            training = estimator.record["training"]
            if training["stop_reason"] == "interrupted":
                return self._interrupted(training["step"])
            if training["stop_reason"] == "diverged":
                return self._diverged(training["step"])
            command = shlex.join(["posterity", *without_folders(self.words)])
            estimator = dataclasses.replace(estimator, record={**estimator.record, "command": command})
            estimator.save(self.output)
        except KeyboardInterrupt:
            return self._interrupted(None)
        if not self.keep_run:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._report(estimator)
        return FINE

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


def _announce(plan: TrainingPlan) -> None:
    model, envelope = plan.simulator.model, plan.simulator.envelope
    sizes = {"rows": envelope.rows, **envelope.plates}
    told = ", ".join(f"{name} {low}..{high}" for name, (low, high) in sizes.items())
    note(f"model      {model.name}: {model.space.size} latents; {told}")
    if _is_informed(model):
        note("           it needs no training: posterity infer answers it by the informed posterior, given a table")
    objective, stream = type(plan.objective).__name__, type(plan.stream).__name__
    note(f"objective  {objective} on {stream} datasets ({plan.why_objective})")
    note(f"network    {plan.architecture.encoder} encoder, {plan.architecture.family} family ({plan.why_family})")


def _is_informed(model: Model) -> bool:
    """Whether the informed posterior serves this model."""
    try:
        read_structure(model)
    except NotInformedError:
        return False
    return True
