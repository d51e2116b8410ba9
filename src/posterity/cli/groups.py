"""`posterity infer --group`: one line for each group, and all latents in a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from posterity.cli.output import print_json, result_console
from posterity.cli.table_request import TableRequest, remark

if TYPE_CHECKING:
    import polars as pl

__all__ = ["answer_groups"]

MOST_SHOWN = 20
MOST_ENTRIES = 100  # groups in the JSON; of more it has the totals


def answer_groups(request: TableRequest, frame: "pl.DataFrame", group: str, output: Path | None) -> int:
    """Answers every group, writes and shows what came of it, and returns the exit code.

    Args:
        request: What was asked for.
        frame: The table.
        group: Column whose values tell the groups apart.
        output: File for the latents of all groups, if any.

    Raises:
        InputError: As in `posterity.infer`.
    """
    question = request.open(frame, group=group)
    from posterity.results.frames import FrameRows
    from posterity.results.summary import posterior_to_json

    rows, entries, seconds = FrameRows(), [], 0.0
    total = len(question.datasets)
    with _Bar() as bar:
        for posterior in question.posteriors(**request.settings(), on_progress=lambda done: bar(done, total)):
            entry = posterior_to_json(posterior)  # numbers only: the draws of one group go before the next ones come
            rows.add(entry)
            if len(entries) < MOST_ENTRIES or total <= MOST_ENTRIES:
                entries.append(entry)
            seconds += posterior.seconds
    if output is not None:
        _write(rows.to_frame(), output)
    remark(question)
    verdicts = rows.verdicts
    name = question.estimator.model.name
    if request.json:
        counts = {"groups": total, **_counts(verdicts)}
        print_json(
            {
                "model": name,
                "num_draws": request.draws,
                "seconds": round(seconds, 4),
                "datasets": counts if total > MOST_ENTRIES else entries,
            }
        )
    else:
        _print_table(verdicts, f"{name} on {request.table.name}, by {group}")
    counts = _counts(verdicts)
    return int(request.strict and counts["untrusted"] + counts["unanswered"] > 0)


def _counts(verdicts: "pl.DataFrame") -> dict[str, int]:
    found = verdicts["verdict"].to_list()
    return {verdict: found.count(verdict) for verdict in ("corrected", "refined", "untrusted", "unanswered")}


class _Bar:
    """Finished groups, in a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("answering", total=None)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


def _write(frame: "pl.DataFrame", output: Path) -> None:
    import polars as pl

    from posterity.runtime.files import replacing

    with replacing(output) as unfinished:
        if output.suffix.lower() == ".parquet":
            frame.write_parquet(unfinished)
        else:
            frame.with_columns(pl.col("reasons").list.join(" ")).write_csv(unfinished)


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
