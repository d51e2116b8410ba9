"""`posterity bench`: the study of the paper, listed, run and reported; it lives in the repository alone."""

import importlib
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from posterity.cli.options import Json, examples
from posterity.runtime.errors import InputError, lookup

__all__ = ["bench"]

Presets = Annotated[str, typer.Option(metavar="NAME", help="smoke, laptop or paper: how much and how long.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Jobs whose name matches, such as 'networks/lr_*/0'; may be repeated."),
]

OneSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Only the jobs of this seed; a preset says which seeds it has.")
]

bench = typer.Typer(
    help="Reproduce the study of arXiv 2502.06601: list its jobs, run them, write docs/study.md from their rows.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)


@bench.command(
    "list", epilog=examples("posterity bench list", "posterity bench list --preset paper --only 'networks/lr_100d/*'")
)
def list_jobs(preset: Presets = "laptop", only: Only = None, seed: OneSeed = None, as_json: Json = False) -> None:
    """Jobs of a preset, and which of them have rows."""
    study = _study()
    _known(study, preset)
    left = {job.name for job in study.runner.to_do(preset)}
    chosen = [job.name for job in study.runner.chosen(preset, only or (), seed)]
    if as_json:
        print(json.dumps([{"job": name, "done": name not in left} for name in chosen]))
        return
    for name in chosen:
        print("    " if name in left else "done", name)
    print(f"{preset}: {len(chosen)} jobs, {len(set(chosen) - left)} done ({study.presets.PRESETS[preset].summary})")


@bench.command(
    epilog=examples(
        "posterity bench run --preset smoke",
        "posterity bench run --preset laptop --jobs 2",
        "posterity bench run --preset laptop --only 'baselines/*' --minutes 30",
        "RAY_ADDRESS=auto posterity bench run --preset paper --ray",
    )
)
def run(
    preset: Presets = "laptop",
    only: Only = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, each kept to one core.")] = 1,
    ray: Annotated[
        bool, typer.Option("--ray", help="Send the jobs to a Ray cluster: RAY_ADDRESS, or this machine.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(help="Begin no further job after so long.")] = None,
    seed: OneSeed = None,
    as_json: Json = False,
) -> None:
    """Do what has no row yet. Stop it whenever you like: the same command goes on.

    Rows go to benchmarks/results/study.jsonl, errors to study_errors.jsonl beside it.
    """
    study = _study()
    _known(study, preset)
    if ray and importlib.util.find_spec("ray") is None:
        raise InputError("posterity bench run --ray needs Ray: pip install 'posterity[ray]', or use --jobs instead")
    waiting = study.runner.to_do(preset, only or (), seed)
    _say(f"{preset}: {len(waiting)} jobs to do")
    started = time.monotonic()

    def show(outcome: Any) -> None:
        how = f"{outcome.seconds:.0f} s" if outcome.error is None else outcome.error.strip().splitlines()[-1]
        done = len(waiting) - outcome.left
        rest = (time.monotonic() - started) / done * outcome.left
        _say(f"{done}/{len(waiting)}  {outcome.job.name}: {how}; about {rest / 60:.0f} min left")

    failed = study.runner.run(preset, waiting, workers=jobs, ray=ray, minutes=minutes, on_outcome=show)
    if as_json:
        left = len(study.runner.to_do(preset, only or (), seed))
        print(json.dumps({"preset": preset, "done": len(waiting) - left, "failed": failed, "left": left}))
    if failed:
        _say(
            f"{failed} jobs failed; see benchmarks/results/{study.runner.ERRORS}.jsonl. They are tried again next time"
        )
        raise typer.Exit(1)


@bench.command(epilog=examples("posterity bench report"))
def report(as_json: Json = False) -> None:
    """Write docs/study.md and its figures from the rows that there are."""
    _study()
    page = importlib.import_module("study.page.page")
    page.main()
    print(json.dumps({"page": str(page.STUDY_PAGE)}) if as_json else f"wrote {page.STUDY_PAGE}")


def _study() -> Any:
    """The package `study` of the checkout around the current folder, or around this file."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            home = folder / "benchmarks"
            if (home / "study" / "runner.py").exists():
                return _imported(home)
    raise InputError(
        "posterity bench: no benchmarks/study here or above. The study is part of the repository, not of the installed "
        "package: clone it, install it with pip install -e '.[bench]', and run the command inside"
    )


def _imported(home: Path) -> Any:
    missing = [name for name in ("ot", "sklearn", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"posterity bench needs {', '.join(missing)}: pip install -e '.[bench]'")
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    # Its processes import the same modules.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
    for name in ("jobs", "presets", "runner"):
        importlib.import_module(f"study.{name}")
    return importlib.import_module("study")


def _known(study: Any, preset: str) -> None:
    lookup("preset", preset, study.presets.PRESETS)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
