"""The page on performance: the first answer, throughput, and peers; see `report.py`."""

import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import first_answer_cases
import throughput
from peers.tasks import TASKS
from report_text import PAGE, Row, ess_text, provenance, table
from rows import read

__all__ = ["PERFORMANCE_PAGE", "performance_page"]

PERFORMANCE_PAGE = PAGE.with_name("performance.md")
PUBLISHED = Path(__file__).parent / "peers" / "published.jsonl"
PEERS = {
    "posterity": "Posterity",
    "nuts": "NumPyro NUTS, vmapped",
    "laplace": "Laplace (JAX)",
    "bayesflow": "BayesFlow",
    "sbi": "sbi, NPE",
}
NOT_MEASURED = "not measured"


def performance_page() -> str:
    """The whole page."""
    intro = (
        "# Performance\n\nMade by `python benchmarks/report.py` from `benchmarks/results/`; nothing here is typed. "
        "Seconds are wall seconds, with CPU seconds in brackets; a ratio above 1 means that Posterity is faster."
    )
    sections = (first_answer_section, throughput_section, peers_section, published_section)
    return "\n\n".join([intro, *(section() for section in sections)]) + "\n"


def first_answer_section() -> str:
    """Seconds to the first answer, and those of NUTS."""
    rows = {row["case"]: row for row in read("first_answer")}
    head = ["model", "first s", "second process s", "NUTS first s", "NUTS second process s", "NUTS / first",
            "NUTS / second process", "verdict", "gap"]  # fmt: skip
    body = _body(first_answer_cases.CASES, rows, lambda name: first_answer_cases.CASES[name].title, _first, head)
    return _section(
        "## The first answer in a fresh process",
        "`python benchmarks/first_answer.py`: from the start of the process, import included, until the summary is "
        "there, medians. First: no program was kept before; second process: with the programs that the first one kept, "
        "for NUTS by JAX's own cache. NUTS: 4 chains of 500 + 1000 steps, vectorised, on the same model and data. The "
        "second model is timed inside its process. Ratios are of wall seconds with an empty cache, and with a kept one "
        "for both. The gap is the largest difference of posterior means between the two, in sds of NUTS.",
        head,
        body,
        rows.values(),
    )


def _first(row: Row) -> list[str]:
    ways = ("posterity_empty", "posterity_kept", "nuts_empty", "nuts_kept")
    wall = {way: statistics.median(row[way]["seconds"]) for way in ways}
    cells = [f"{wall[way]:.2f} ({statistics.median(row[way]['cpu_seconds']):.2f})" for way in ways]
    ratios = [wall["nuts_empty"] / wall["posterity_empty"], wall["nuts_kept"] / wall["posterity_kept"]]
    return [*cells, *(f"{ratio:.2f}" for ratio in ratios), _counts(row["verdicts"]), f"{row['largest_gap']:.3f}"]


def throughput_section() -> str:
    """Effective draws per second."""
    rows = {row["case"]: row for row in read("throughput")}
    head = ["model", "datasets", "ms each (CPU ms)", "ESS each", "verdicts", "effective draws/s", "NUTS datasets",
            "NUTS ms each (CPU ms)", "NUTS ESS each", "ratio of effective draws/s", "by CPU seconds"]  # fmt: skip
    body = _body(throughput.CASES, rows, lambda name: throughput.CASES[name].title, _throughput, head)
    return _section(
        "## Many datasets at once",
        "`python benchmarks/throughput.py`: `infer_each`, warm, 1000 draws of each dataset, weighed and judged; "
        "effective draws are those of corrected datasets. NUTS: one chain of 500 + 1000 steps for each dataset, "
        "vmapped, compiled before; its smallest ESS over latents. Medians.",
        head,
        body,
        rows.values(),
    )


def _throughput(row: Row) -> list[str]:
    ours, nuts = row["posterity"], row["nuts"]
    ratios = [ours["ess"] / ours[key] / (nuts["ess"] / nuts[key]) for key in ("seconds", "cpu_seconds")]
    return [
        *_each(ours),
        _counts(ours["verdicts"]),
        f"{ours['ess'] / ours['seconds']:,.0f}",
        *_each(nuts),
        *(f"{ratio:.1f}" for ratio in ratios),
    ]


def _each(found: Row) -> list[str]:
    number = found["datasets"]
    milliseconds = [f"{found[key] / number * 1e3:.3g}" for key in ("seconds", "cpu_seconds")]
    return [f"{number:,}", f"{milliseconds[0]} ({milliseconds[1]})", f"{found['ess'] / number:.0f}"]


def peers_section() -> str:
    """Posterity beside its peers, a table for each task."""
    rows = {(row["task"], row["peer"]): row for row in read("peers")}
    head = ["peer", "ESS", "error of means", "first answer s", "ratio", "datasets/s", "ratio", "one dataset ms",
            "ratio", "peak MiB", "disk MiB", "lines", "training s", "failed", "verdicts"]  # fmt: skip
    parts = [
        "## Beside peers",
        "`python -m peers` in `benchmarks/`, with the packages of `benchmarks/peers/requirements.txt`; its docstring "
        "tells what was run. ESS as a share of 1000 draws, median (5% quantile) over datasets: of importance weights, "
        "for NUTS of its chain; error of means against the reference in its sds, median (95% quantile), of which 0.03 "
        "is the noise of 1000 draws. First answer in a fresh process, with nothing kept and training included; batches "
        "of 256 datasets, 1000 draws each; failed are datasets whose draws are not finite; lines of what a user writes "
        "for the three tasks together.",
    ]
    for task in TASKS:
        ours = rows.get((task, "posterity"))
        found = {peer: rows[task, peer] for peer in PEERS if (task, peer) in rows}
        body = _body(PEERS, found, PEERS.__getitem__, lambda row, ours=ours: _peer(row, ours), head)
        parts += [f"### {task}", table(head, body)]
    versions = {name: version for row in rows.values() for name, version in row["versions"].items()}
    if versions:
        parts.append(f"Versions: {', '.join(f'{name} {version}' for name, version in sorted(versions.items()))}.")
    return "\n\n".join([*parts, *_provenance(rows.values())])


def _peer(row: Row, ours: Row | None) -> list[str]:
    error = row["mean_error"]
    speeds = [_speeds(one) for one in (row, ours) if one]
    first, per_second, one_ms = (
        [f"{own:.3g}", f"{ratio:.3g}" if ours else ""]
        for own, ratio in zip(speeds[0], _ratios(*speeds) if ours else speeds[0], strict=True)
    )
    return [
        ess_text(row),
        f"{error['median']:.3f} ({error['q95']:.3f})",
        *first,
        *per_second,
        *one_ms,
        *(f"{row[key]:.0f}" for key in ("peak_mib", "installed_mib", "lines", "budget_seconds")),
        f"{row['failed']} of {row['judged']}",
        _counts(row["verdicts"]),
    ]


def _speeds(row: Row) -> tuple[float, float, float]:
    """Seconds to the first answer, datasets per second, milliseconds of one dataset."""
    return (
        statistics.median(row["first_seconds"]),
        row["batch"] / statistics.median(row["batch_seconds"]),
        row["one_ms"],
    )


def _ratios(theirs: tuple[float, float, float], ours: tuple[float, float, float]) -> tuple[float, float, float]:
    """How many times as fast ours are."""
    return theirs[0] / ours[0], ours[1] / theirs[1], theirs[2] / ours[2]


def published_section() -> str:
    """Figures that others published; not run here."""
    rows = [json.loads(line) for line in PUBLISHED.read_text().splitlines()]
    keys = ("system", "figure", "setting", "source")
    return "\n\n".join(
        [
            "## Published by others, not run here",
            "As their authors give them, on their machines: not comparable with the tables above figure by figure.",
            table(keys, [[row[key] for key in keys] for row in rows]),
        ]
    )


def _body(
    names: Iterable[str],
    rows: dict[str, Row],
    title: Callable[[str], str],
    cells: Callable[[Row], list[str]],
    head: list[str],
) -> list[list[str]]:
    """A line for each name; `not measured` where there is no row."""
    missing = [NOT_MEASURED, *[""] * (len(head) - 2)]
    return [[title(name), *(cells(rows[name]) if name in rows else missing)] for name in names]


def _section(heading: str, words: str, head: list[str], body: list[list[str]], rows: Iterable[Row]) -> str:
    return "\n\n".join([heading, words, table(head, body), *_provenance(rows)])


def _provenance(rows: Iterable[Row]) -> list[str]:
    found = list(rows)
    return [provenance(found)] if found else []


def _counts(verdicts: dict[str, int]) -> str:
    if len(verdicts) == 1 and sum(verdicts.values()) == 1:
        return next(iter(verdicts))
    return ", ".join(f"{number:,} {verdict}" for verdict, number in verdicts.items())
