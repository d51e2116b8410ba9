"""Result rows: what a benchmark measured, with all that is needed to measure it again."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

__all__ = ["RESULTS", "append", "commit", "machine", "measure_cases", "read"]

RESULTS = Path(os.environ.get("POSTERITY_RESULTS", Path(__file__).parent / "results"))


def machine() -> str:
    """The device in words: processor, cores that this process may use, memory."""
    names = [line.split(":")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0].strip() if names else platform.processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = "" if jax.default_backend() == "cpu" else f", {jax.devices()[0].device_kind}"
    return f"{processor}, {cores} core(s){gpu}"


def commit() -> str:
    """Short hash of the checkout, marked where tracked files under src have changed since."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no", "--", "src") else head


def append(name: str, row: Mapping[str, Any]) -> None:
    """Adds one row to `results/NAME.jsonl`, with commit and machine."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({**row, "commit": commit(), "machine": machine()}) + "\n")


def read(name: str, keep: Callable[[Mapping[str, Any]], bool] = lambda row: True) -> list[dict[str, Any]]:
    """Rows of `results/NAME.jsonl`, oldest first; none if there is no such file."""
    return [row for row in map(json.loads, _lines(RESULTS / f"{name}.jsonl")) if keep(row)]


def measure_cases(
    name: str, cases: Collection[str], measure: Callable[[str, int, bool], None], *, about: str | None, smoke: str
) -> None:
    """The command line of a benchmark of several cases: those asked for, else those without a row at this commit.

    Args:
        name: Of its rows.
        cases: Their names.
        measure: `(case, repeats, is_smoke)` -> measures one, and appends its row.
        about: Text of `--help`.
        smoke: What `--smoke` cuts down to.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"cases, separated by commas: {', '.join(cases)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help=f"{smoke}: to see that it runs")
    options = parser.parse_args()
    done = {row["case"] for row in read(name) if row["commit"] == commit()}
    for case in options.only.split(",") if options.only else [case for case in cases if case not in done]:
        measure(case, 1 if options.smoke else options.repeats, options.smoke)


def _lines(path: str | Path) -> Iterator[str]:
    if Path(path).exists():
        yield from Path(path).read_text().splitlines()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or ("unknown" if done.returncode else "")
