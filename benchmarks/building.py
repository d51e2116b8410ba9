"""Seconds before anything is answered, in fresh processes: importing, the command's help, a model read and checked."""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rows import append

REPEATS = 5
NUM_ROWS, NUM_COLUMNS = 50, 4

IMPORT = "import posterity; posterity.infer"
HELP = "from posterity.cli.app import main; raise SystemExit(main(['--help']))"


def models() -> dict[str, Callable[..., None]]:
    """Three models, as users would write them."""
    import numpyro
    import numpyro.distributions as dist

    def linear(x, y=None):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[1]]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("y", dist.Normal(x @ w, sigma), obs=y)

    def logistic(x, y=None):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[1]]).to_event(1))
        b = numpyro.sample("b", dist.Normal(0.0, 2.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("y", dist.Bernoulli(logits=b + x @ w), obs=y)

    def plated(x, y=None):
        b = numpyro.sample("b", dist.Normal(0.0, 2.0))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("features", x.shape[1]):
            w = numpyro.sample("w", dist.Normal(0.0, 1.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("y", dist.Normal(b + x @ w, sigma), obs=y)

    return {"linear": linear, "logistic": logistic, "plated": plated}


def build(name: str) -> None:
    """Prints the seconds of CPU and wall that one model takes in this process, once everything is imported."""
    import posterity

    model, informed = models()[name], posterity.informed
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, NUM_COLUMNS)).astype(np.float32)
    y = (x @ rng.normal(size=NUM_COLUMNS) + rng.normal(size=NUM_ROWS)).astype(np.float32)
    data = {"x": x, "y": (y > 0.0).astype(np.int32) if name == "logistic" else y}
    cpu, wall = time.process_time(), time.perf_counter()
    informed(model, like=data)
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


def in_fresh_process(*arguments: str) -> dict[str, float]:
    """Seconds of CPU and wall of a whole process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall": wall}


def built_in_fresh_process(name: str) -> dict[str, float]:
    """What `build` prints in a process of its own."""
    done = subprocess.run([sys.executable, __file__, name], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """A row for each: medians of a few processes, one after the other."""
    if len(sys.argv) > 1 and sys.argv[1] != "--once":
        build(sys.argv[1])
        return
    cases: dict[str, Callable[[], dict[str, float]]] = {
        "import": lambda: in_fresh_process("-c", IMPORT),
        "help": lambda: in_fresh_process("-c", HELP),
        **{name: lambda name=name: built_in_fresh_process(name) for name in models()},
    }
    for name, measure in cases.items():
        measured = [measure() for _ in range(1 if "--once" in sys.argv else REPEATS)]
        row: dict[str, Any] = {f"{kind}_seconds": statistics.median(m[kind] for m in measured) for kind in measured[0]}
        append("building", {"what": name, **row, "processes": len(measured)})


if __name__ == "__main__":
    main()
