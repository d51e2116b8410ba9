"""What a running training shows on standard error."""

import contextlib
import math
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from posterity.runtime.status import no_status
from posterity.training import Progress as TrainingProgress

__all__ = ["ProgressBar"]

LINES = 10  # over the whole run, where standard error is no terminal


class ProgressBar:
    """Share of the budget, step, loss, datasets/s, time left and the last validation.

    A bar in a terminal; elsewhere a line at once and for each tenth of the budget; nothing when quiet.
    """

    def __init__(self, *, quiet: bool):
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._next_line = 0.0
        self._bar: Progress | None = None
        self._alone = contextlib.ExitStack()
        if not quiet and self._console.is_terminal:
            self._bar = Progress(
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.description}"),
                console=self._console,
            )
            self._task = self._bar.add_task("compiling ...", total=1.0)

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._alone.enter_context(no_status())
            self._alone.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alone.close()

    def __call__(self, now: TrainingProgress) -> None:
        """Shows where a training is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=now.share, description=describe_progress(now))
        elif not self._quiet and now.share >= self._next_line:
            self._next_line = (math.floor(now.share * LINES) + 1) / LINES
            self._console.print(f"{now.share:4.0%}  {describe_progress(now)}", highlight=False, soft_wrap=True)


def describe_progress(now: TrainingProgress) -> str:
    """Step, loss, speed, time left and last validation in one line."""
    parts: list[Any] = [f"step {now.step}", f"loss {now.loss:.3f} nats"]
    if now.datasets_per_second:
        parts.append(f"{now.datasets_per_second:.0f} datasets/s")
        if now.share > 0.0:
            parts.append(f"{_duration(now.seconds * (1.0 - now.share) / now.share)} left")
    if now.validation is not None:
        parts.append(f"validation: ESS {now.validation.ess_fraction:.0%}, ELBO {now.validation.elbo:.2f} nats")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
