"""Seconds to the first answer in a fresh process, import included, by Posterity and by NUTS on the same model and data.

    python benchmarks/first_answer.py                          # every case, skipping those done at this commit
    python benchmarks/first_answer.py --only poisson,many --repeats 3

Each repeat has a cache of compiled programs of its own, empty for the first process and full for a second one; NUTS
has JAX's. Wall seconds run from the start of the process until the summary is there, CPU seconds are those that the
process used by then; the command's are those of the whole process. `second_model` is timed inside its process, from
the end of the answer of another model. NUTS runs 4 chains of 500 + 1000 steps, vectorised, and summarises them. As a
check, the largest gap between posterior means of the two, in sds of NUTS, over all latents and datasets. Cases are in
`first_answer_cases.py`; rows go to `results/first_answer.jsonl`.
"""

import collections
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from first_answer_cases import CASES, by_command, write_table
from rows import append, measure_cases

NAME = "first_answer"
NUTS_STEPS, SMOKE_STEPS = (500, 1000), (20, 20)
CACHES = {"posterity": "POSTERITY_CACHE", "nuts": "JAX_COMPILATION_CACHE_DIR"}
"""Way -> the variable that says where its compiled programs are kept."""
LONGEST_SECONDS = 3600

Answer = dict[str, Any]


def environment(way: str, folder: Path) -> dict[str, str]:
    """The environment of a child that keeps its programs in a folder and nothing elsewhere, and finds this one."""
    kept = {name: value for name, value in os.environ.items() if name not in CACHES.values()}
    paths = [str(Path(__file__).parent), *filter(None, [kept.get("PYTHONPATH")])]
    own = {"XDG_CACHE_HOME": str(folder), CACHES[way]: str(folder / "programs")}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **own}


def run(command: list[str], way: str, folder: Path) -> tuple[str, float, float, float]:
    """Runs a process; what it printed, when it started, and the wall and CPU seconds of the whole.

    Args:
        command: Program and arguments.
        way: Whose programs are kept, `posterity` or `nuts`.
        folder: Where; it runs there as well.

    Raises:
        RuntimeError: The process failed; with what it wrote on standard error.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(
        command,
        env=environment(way, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    seconds, after = time.time() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, started, seconds, cpu_seconds


def ask_command(name: str, folder: Path) -> Answer:
    """Answers a case by `posterity infer`."""
    path = folder / "table.csv"
    write_table(name, path)
    script = str(Path(sys.executable).with_name("posterity"))
    command = [script, "infer", str(CASES[name].command), str(path), "--target", "y", "--json", "--quiet"]
    printed, _, seconds, cpu_seconds = run(command, "posterity", folder)
    return {**by_command(json.loads(printed)), "seconds": seconds, "cpu_seconds": cpu_seconds}


def ask_python(name: str, way: str, folder: Path, steps: tuple[int, int]) -> Answer:
    """Answers a case by a Python process of either way."""
    path = folder / "answer.json"
    arguments = (name, str(path)) if way == "posterity" else (name, str(path), *steps)
    program = f"import first_answer_cases; first_answer_cases.by_{way}{arguments!r}"
    _, started, _, _ = run([sys.executable, "-c", program], way, folder)
    found = json.loads(path.read_text())
    if CASES[name].before is not None:
        return {**found, "seconds": found["wall_since"], "cpu_seconds": found["cpu_since"]}
    return {**found, "seconds": found["answered_at"] - started}


def ask(name: str, way: str, folder: Path, steps: tuple[int, int]) -> Answer:
    """The first answer of a fresh process."""
    if way == "posterity" and CASES[name].command is not None:
        return ask_command(name, folder)
    return ask_python(name, way, folder, steps)


def largest_gap(ours: Answer, nuts: Answer) -> float:
    """Largest difference of posterior means in sds of NUTS."""
    return max(
        abs(mean - nuts_mean) / nuts_sd
        for found, exact in zip(ours["moments"], nuts["moments"], strict=True)
        for site, entries in exact.items()
        for (mean, _), (nuts_mean, nuts_sd) in zip(found[site], entries, strict=True)
    )


def measure(name: str, repeats: int, steps: tuple[int, int]) -> None:
    """All repeats of a case, as one row."""
    answers: dict[tuple[str, str], list[Answer]] = collections.defaultdict(list)
    for _ in range(repeats):
        for way in ("posterity", "nuts"):
            with tempfile.TemporaryDirectory() as folder:
                for cache in ("empty", "kept"):
                    answers[way, cache].append(ask(name, way, Path(folder), steps))
    ours, nuts = answers["posterity", "empty"][-1], answers["nuts", "empty"][-1]
    row = {
        "case": name,
        "title": CASES[name].title,
        "nuts_steps": steps,
        "verdicts": dict(collections.Counter(ours["verdicts"])),
        "reasons": ours["reasons"][:3],
        "largest_gap": largest_gap(ours, nuts),
        "nuts_r_hat": nuts["r_hat"],
    }
    for (way, cache), found in answers.items():
        row[f"{way}_{cache}"] = {key: [answer[key] for answer in found] for key in ("seconds", "cpu_seconds")}
    append(NAME, row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""

    def measured(case: str, repeats: int, is_smoke: bool) -> None:
        measure(case, repeats, SMOKE_STEPS if is_smoke else NUTS_STEPS)

    measure_cases(NAME, CASES, measured, about=__doc__, smoke="once, few steps of NUTS")


if __name__ == "__main__":
    main()
