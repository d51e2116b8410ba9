"""The training loop: chunks until the budget is spent, with progress, checkpoints and a plain ending."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from posterity.amortized.network import AmortizedPosterior
from posterity.amortized.objectives import AbstractObjective
from posterity.model.dataset import bucket_sizes
from posterity.runtime.keys import key_for
from posterity.runtime.threads import one_blas_thread
from posterity.simulation.simulator import Simulator
from posterity.training.checkpoint import RunFolder
from posterity.training.config import TrainingConfig
from posterity.training.interrupt import interrupts
from posterity.training.step import ChunkReport, TrainingState, initial_state, make_chunk
from posterity.training.stream import DatasetStream, check_stream
from posterity.training.validation import Validation, validate

__all__ = ["Progress", "TrainingResult", "run_training"]

StopReason = Literal["steps", "minutes", "interrupted", "diverged"]
NUM_VALIDATIONS = 10  # during the run, evenly over the budget


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a running training shows.

    Attributes:
        share: Share of the budget spent, from 0 to 1.
        step: Steps done.
        loss: Mean loss of the last chunk, in nats.
        datasets_per_second: Over the whole run, compilation excluded.
        seconds: Time spent, compilation excluded.
        validation: Result of the latest validation, if there was one.
    """

    share: float
    step: int
    loss: float
    datasets_per_second: float
    seconds: float
    validation: Validation | None


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        network: Network with the averaged weights.
        stop_reason: "steps" or "minutes" where that budget was spent, "interrupted", or "diverged" (a whole chunk of
            steps without a finite gradient).
        step: Steps done; for a diverged run those before the first bad loss.
        seconds: Training time, compilation and validation excluded.
        loss: Mean loss of the last chunk, in nats.
        validation: On held-out datasets; None for an interrupted run, or where none was asked for.
        datasets_per_second: Simulated, encoded and learned from, compilation excluded.
        skipped: Steps that changed nothing because their gradient was not finite.
    """

    network: AmortizedPosterior
    stop_reason: StopReason
    step: int
    seconds: float
    loss: float
    validation: Validation | None
    datasets_per_second: float
    skipped: int

    def to_json(self) -> dict[str, Any]:
        """Everything but the network, as plain values."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "network"}
        return record | {"validation": self.validation.to_json() if self.validation else None}


def run_training(
    simulator: Simulator,
    network: AmortizedPosterior,
    objective: AbstractObjective,
    stream: DatasetStream,
    config: TrainingConfig,
    *,
    folder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> TrainingResult:
    """Trains a network until its budget is spent.

    Ctrl-C ends the run after the chunk in progress; with a folder, a checkpoint is written first.

    Args:
        simulator: What is learned.
        network: Where to start.
        objective: What is minimised.
        stream: Where datasets come from.
        config: Budget and settings.
        folder: Where checkpoints and metrics go; nothing is written if None.
        settings: What must be equal for a run in `folder` to be resumed.
        resume: Go on from the last checkpoint in `folder`.
        on_progress: Called after every chunk.

    Raises:
        InputError: The objective needs latents that the stream has not, or `folder` cannot serve.
    """
    check_stream(objective.needs_latents, stream)
    run = _Run(simulator, network, objective, stream, config, on_progress)
    if folder is not None:
        run.open_folder(folder, {**(settings or {}), "training": config.to_json()}, resume=resume)
    try:
        with one_blas_thread():
            stop_reason = run.until_stopped()
    finally:
        run.close()
    return run.result(stop_reason)


class _Run:
    """State of one training run; what changes from chunk to chunk lives here and nowhere else."""

    def __init__(
        self,
        simulator: Simulator,
        network: AmortizedPosterior,
        objective: AbstractObjective,
        stream: DatasetStream,
        config: TrainingConfig,
        on_progress: Callable[[Progress], None],
    ):
        self.simulator, self.network, self.stream = simulator, network, stream
        self.config, self.on_progress = config, on_progress
        self.chunk = make_chunk(simulator, network, objective, stream, config)
        self.rng_key = key_for(config.seed, "training")
        self.state: TrainingState = initial_state(network, config)
        self.buckets = row_ranges(*simulator.envelope.rows)
        self.folder: RunFolder | None = None
        self.compiled: set[tuple[tuple[int, int], int]] = set()  # rows and steps of a chunk
        self.seconds = 0.0
        self.timed_steps = 0  # steps that `seconds` covers: a chunk that compiles is not timed
        self.loss = math.nan
        self.skipped = 0  # steps whose gradient was not finite
        self.validation: Validation | None = None
        self.num_validations = 0

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state.step)

    @property
    def share(self) -> float:
        """Share of the budget that is spent."""
        by_steps = self.step / self.config.steps if self.config.steps else 0.0
        return min(1.0, max(by_steps, self._time_share()))

    def open_folder(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Begins or continues the run in a folder."""
        self.folder = RunFolder(path, settings, resume=resume)
        restored = self.folder.restore(self.state) if resume else None
        if restored is not None:
            self.state, notes = restored
            self.seconds, self.timed_steps = notes["seconds"], notes["timed_steps"]
            self.loss, self.num_validations = notes["loss"], notes["num_validations"]
            self.skipped = notes["skipped"]

    def until_stopped(self) -> StopReason:
        """Chunks until the budget is spent, the user interrupts, or the loss is no longer finite."""
        last_saved = time.monotonic()
        with interrupts() as interrupt:
            while True:
                if self.config.steps and self.step >= self.config.steps:
                    return "steps"
                if self._time_share() >= 1.0:
                    return "minutes"
                if interrupt.asked:
                    self._save()
                    return "interrupted"
                if not self._one_chunk():
                    return "diverged"
                if time.monotonic() - last_saved > 60.0 * self.config.checkpoint_minutes:
                    self._save()
                    last_saved = time.monotonic()
                due = (self.num_validations + 1) / NUM_VALIDATIONS <= self.share < 1.0  # the last one is the result's
                if due and self.config.validate:
                    self._validate(num_datasets=64, num_draws=200)

    def result(self, stop_reason: StopReason) -> TrainingResult:
        """The result, with a last and larger validation."""
        if stop_reason != "interrupted" and self.config.validate:
            self._validate(num_datasets=256, num_draws=1000)
        return TrainingResult(
            network=self._averaged(),
            stop_reason=stop_reason,
            step=self.step,
            seconds=self.seconds,
            loss=self.loss,
            validation=None if stop_reason == "interrupted" else self.validation,
            datasets_per_second=self._rate(),
            skipped=self.skipped,
        )

    def close(self) -> None:
        """Leaves a last checkpoint behind."""
        if self.folder is not None:
            self._save()
            self.folder.close()

    def _one_chunk(self) -> bool:
        """One chunk; False if its loss is not finite, in which case the state before it is kept."""
        index = self.step // self.config.chunk_steps
        num_steps = self.config.steps_from(self.step)
        rows = self.buckets[_pick(self.buckets, np.random.default_rng([self.config.seed, index]))]
        started = time.monotonic()
        state, report = self.chunk(self.state, self.rng_key, jnp.asarray(self._time_share()), rows, num_steps)
        loss, skipped = float(report.mean_loss), int(report.skipped)  # waits for the device
        took = time.monotonic() - started
        if (rows, num_steps) in self.compiled:
            self.seconds += took
            self.timed_steps += num_steps
        self.compiled.add((rows, num_steps))
        if skipped == num_steps:
            self._log({"diverged": True, "loss": None})
            return False
        self.state, self.loss = state, loss
        self.skipped += skipped
        self._log(_chunk_event(report, rows, self._rate()))
        self.on_progress(Progress(self.share, self.step, loss, self._rate(), self.seconds, self.validation))
        return True

    def _validate(self, num_datasets: int, num_draws: int) -> None:
        """Judges the averaged weights on fixed held-out datasets."""
        self.num_validations = math.floor(self.share * NUM_VALIDATIONS)
        self.validation = validate(
            self.simulator,
            self._averaged(),
            self.stream,
            rng_key=key_for(self.config.seed, "validation"),
            num_datasets=num_datasets,
            num_draws=num_draws,
        )
        self._log({"validation": self.validation.to_json()})

    def _averaged(self) -> AmortizedPosterior:
        return eqx.combine(self.state.average, self.network)

    def _time_share(self) -> float:
        return self.seconds / (60.0 * self.config.minutes) if self.config.minutes else 0.0

    def _rate(self) -> float:
        return self.timed_steps * self.config.batch_size / self.seconds if self.seconds else 0.0

    def _save(self) -> None:
        if self.folder is not None:
            notes = {
                "seconds": self.seconds,
                "timed_steps": self.timed_steps,
                "loss": self.loss if math.isfinite(self.loss) else 0.0,
                "num_validations": self.num_validations,
                "skipped": self.skipped,
            }
            self.folder.save(self.step, self.state, notes)

    def _log(self, event: Mapping[str, Any]) -> None:
        if self.folder is not None:
            self.folder.log({"step": self.step, "seconds": round(self.seconds, 3), **event})


def row_ranges(min_rows: int, max_rows: int) -> tuple[tuple[int, int], ...]:
    """Ranges `(low, high)` of rows that cover the envelope; datasets of a range are padded to its `high`."""
    sizes = bucket_sizes(min_rows, max_rows)
    lows = [min_rows, *(size + 1 for size in sizes[:-1])]
    return tuple(zip(lows, sizes, strict=True))


def _pick(ranges: tuple[tuple[int, int], ...], generator: np.random.Generator) -> int:
    """A range at random, in proportion to its share of log(rows): rows are log-uniform overall."""
    widths = np.array([math.log((high + 0.5) / (low - 0.5)) for low, high in ranges])
    return int(generator.choice(len(ranges), p=widths / widths.sum()))


def _chunk_event(report: ChunkReport, rows: tuple[int, int], rate: float) -> dict[str, Any]:
    return {
        "loss": round(float(report.mean_loss), 6),
        "gradient_norm": round(float(jnp.nanmedian(report.gradient_norm)), 6),
        "skipped": int(report.skipped),
        "rows": list(rows),
        "datasets_per_second": round(rate, 1),
    }
