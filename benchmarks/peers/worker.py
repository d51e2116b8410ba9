"""One peer on one task in a process of its own, as `python -m peers.worker '{...}'` in `benchmarks/`.

The request names `peer`, `task`, `epochs`, `num_draws`, `folder` and a `stage`:

    pilot   seconds of an epoch of training
    first   when the first answer was there
    all     the same; then times of batches and of single datasets, peak memory, and draws to judge

Numbers go to `found.json` in the folder, arrays to `found.npz`.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peers.tasks import Data, simulate

__all__ = ["main"]


def seconds_of(call: Callable[[], object]) -> list[float]:
    """Wall and CPU seconds of a call that gives an array."""
    started = time.perf_counter(), time.process_time()
    np.asarray(call())
    return [time.perf_counter() - started[0], time.process_time() - started[1]]


def first(data: Data, number: int) -> Data:
    """The first so many datasets."""
    return {name: values[:number] for name, values in data.items()}


def main(request: dict[str, Any]) -> None:
    """Runs one stage."""
    task, num_draws, folder = request["task"], request["num_draws"], Path(request["folder"])
    data, _ = simulate(task, request["batch"])
    example = {name: values[0] for name, values in data.items()}
    user = importlib.import_module(f"peers.user_code.{request['peer']}")
    found: dict[str, Any]
    if request["stage"] == "pilot":
        one, three = (seconds_of(lambda n=n: user.prepare(task, example, n) and 0)[0] for n in (1, 3))
        found = {"epoch_seconds": (three - one) / 2}
    else:
        prepared = user.prepare(task, example, request["epochs"])
        one_seconds = seconds_of(lambda: user.answer(prepared, first(data, 1), num_draws))
        found = {"answered_at": time.time(), "cpu_seconds": time.process_time(), "first_call": one_seconds}
    if request["stage"] == "all":
        found["one"] = [
            seconds_of(lambda: user.answer(prepared, first(data, 1), num_draws)) for _ in range(request["repeats"] * 4)
        ]
        found["first_batch"] = seconds_of(lambda: user.answer(prepared, data, num_draws))
        found["batch"] = [seconds_of(lambda: user.answer(prepared, data, num_draws)) for _ in range(request["repeats"])]
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        judge(user, prepared, request, first(data, request["judged"]), found)
    (folder / "found.json").write_text(json.dumps(found))


def judge(user: Any, prepared: Any, request: dict[str, Any], data: Data, found: dict[str, Any]) -> None:
    """Leaves draws of some datasets with what their importance weights need, and the verdicts where there are any."""
    from peers.densities import DENSITIES

    arrays = {"draws": np.asarray(user.answer(prepared, data, request["num_draws"]))}
    if request["peer"] in DENSITIES:
        arrays["proposed"], arrays["log_q"] = DENSITIES[request["peer"]](user, prepared, data, request["num_draws"])
    if hasattr(user, "posteriors"):
        posteriors = user.posteriors(prepared, data, request["num_draws"])
        found["verdicts"] = [posterior.verdict for posterior in posteriors]
    np.savez(Path(request["folder"]) / "found.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
