"""Peak resident memory of training with the defaults, and of inference on 100,000 rows.

    python benchmarks/memory.py

Each case runs in a process of its own; rows go to `results/memory.jsonl`.
"""

import resource
import subprocess
import sys

import numpy as np
from rows import append

CASES = ("train", "infer")


def train() -> None:
    """Default training of linear regression for half a minute, all row sizes compiled."""
    import posterity

    posterity.train("linear_regression", config=posterity.TrainingConfig(minutes=0.5))


def infer() -> None:
    """1000 weighed draws for a table of 100,000 rows, by an estimator trained for a moment."""
    import posterity

    estimator = posterity.train("linear_regression", config=posterity.TrainingConfig(steps=20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 10))
    estimator.infer({"x": x, "y": x @ np.ones(10) / 10 + rng.normal(size=100_000)})
    print(f"before inference {before / 1024:.0f} MiB", file=sys.stderr)


def main() -> None:
    """Runs one case if named, else each in its own process."""
    if len(sys.argv) > 1:
        {"train": train, "infer": infer}[sys.argv[1]]()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    for case in CASES:
        done = subprocess.run([sys.executable, __file__, case], stdout=subprocess.PIPE, text=True, check=True)
        row = {"case": case, "peak_mib": float(done.stdout.split()[-1])}
        append("memory", row)
        print(row)


if __name__ == "__main__":
    main()
