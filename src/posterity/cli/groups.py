"""`posterity infer --group`: one line for each group, and all latents in a file."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posterity.cli.output import is_quiet, note, print_json, result_console
from posterity.runtime.status import no_status

if TYPE_CHECKING:
    import polars as pl

    from posterity.estimator.infer import TableQuestion
    from posterity.results.frames import FrameRows

__all__ = ["answer_groups"]

MOST_SHOWN = 20
SECONDS_BETWEEN_LINES = 60.0
MOST_ENTRIES = 100  # groups in the JSON; of more it has the totals


def answer_groups(
    question: "TableQuestion",
    settings: Mapping[str, Any],
    *,
    title: str,
    output: Path | None,
    report: Path | None,
    command: str,
    as_json: bool,
) -> Mapping[str, int]:
    """Answers every group, writes and shows what came of it, and returns how many have each verdict.

    Args:
        question: The table, and what answers it.
        settings: Draws, seed and time, as `TableQuestion.posteriors` takes them.
        title: Heading of the table that is shown.
        output: File for the latents of all groups, if any.
        report: File for the report on all groups, if any.
        command: How it was asked for, for that report.
        as_json: Show JSON instead.
    """
    from posterity.estimator.group_answers import write_groups
    from posterity.results.frames import FrameRows
    from posterity.results.to_json import posterior_to_json

    entries, rows, seconds = [], FrameRows(), time.perf_counter()
    total = len(question.datasets)

    def keep(entry: Mapping[str, Any]) -> None:
        if total <= MOST_ENTRIES:
            entries.append(entry)

    with _Bar() as bar:
        if output is not None:
            wanted = keep if as_json and total <= MOST_ENTRIES else None
            verdicts = write_groups(
                question, output, settings, on_answer=wanted, on_progress=lambda done: bar(done, total)
            )
        else:
            for posterior in question.posteriors(**settings, on_progress=lambda done: bar(done, total)):
                entry = posterior_to_json(posterior)  # numbers only: draws of one group go before the next ones come
                rows.add(entry)
                keep(entry)
            verdicts = rows.verdicts
    if report is not None:
        from posterity.report.groups import write_groups_report

        write_groups_report(_whole(output, rows), report, title=title, command=command)
    counts, seconds = _counts(verdicts), time.perf_counter() - seconds
    if as_json:
        print_json(
            {
                "model": question.estimator.model.name,
                "num_draws": settings["num_draws"],
                "seconds": round(seconds, 4),
                "datasets": {"groups": total, **counts} if total > MOST_ENTRIES else entries,
            }
        )
    else:
        _print_table(verdicts, title)
    return counts


def _whole(output: Path | None, rows: "FrameRows") -> "pl.DataFrame":
    """All answers: from the file, which has those of an earlier run as well; from memory where there is none."""
    if output is None:
        return rows.to_frame()
    import polars as pl

    if output.suffix.lower() == ".parquet":
        return pl.read_parquet(output)
    return pl.read_csv(output, schema_overrides={"name": pl.String, "reasons": pl.String})


def _counts(verdicts: "pl.DataFrame") -> dict[str, int]:
    found = verdicts["verdict"].to_list()
    return {verdict: found.count(verdict) for verdict in ("corrected", "refined", "untrusted", "unanswered")}


class _Bar:
    """Finished groups: a bar in a terminal, a line a minute elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._is_shown = console.is_terminal and not is_quiet.get()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not self._is_shown)
        self._alone = contextlib.ExitStack()
        self._began: tuple[float, int] | None = None  # when, and how many there were before
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self._task = self._bar.add_task("answering", total=None)

    def __enter__(self) -> "_Bar":
        if self._is_shown:
            self._alone.enter_context(no_status())
        self._alone.enter_context(self._bar)
        return self

    def __exit__(self, *_: object) -> None:
        self._alone.close()

    def __call__(self, done: int, total: int) -> None:
        began, before = self._began = self._began or (time.monotonic(), done)
        rate = (done - before) / max(time.monotonic() - began, 1e-3)
        self._bar.update(self._task, completed=done, total=total, description=f"answering, {rate:.0f} groups/s")
        if not self._is_shown and time.monotonic() >= self._next_line:
            left = f", about {(total - done) / rate:.0f} s left" if rate > 0.0 else ""
            note(f"answered {done} of {total} groups, {rate:.0f} a second{left}")
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES


def _print_table(verdicts: "pl.DataFrame", title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = result_console()
    counts = ", ".join(f"{number} {verdict}" for verdict, number in _counts(verdicts).items() if number)
    console.print(Text(counts, style="bold"))
    console.print(Text(f"{title}: {verdicts.height} groups", style="bold"))
    worst_first = verdicts.sort(~verdicts["verdict"].is_in(["untrusted", "unanswered"]), maintain_order=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("group", "rows", "verdict", "k-hat", "ESS", "log evidence", "first reason"):
        words = name in ("group", "verdict", "first reason")
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for name, rows, verdict, pareto_k, ess, evidence, reasons in worst_first.head(MOST_SHOWN).iter_rows():
        cells = (name, str(rows), verdict, _number(pareto_k, 2), _number(ess, 0), _number(evidence, 1))
        table.add_row(*[Text(cell) for cell in (*cells, reasons[0] if reasons else "")])
    console.print(table)
    if verdicts.height > MOST_SHOWN:
        console.print(Text(f"... {verdicts.height - MOST_SHOWN} more; write all with -o", style="dim"))


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
