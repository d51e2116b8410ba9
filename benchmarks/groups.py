"""Groups answered per second by `posterity infer --group -o`, from a Parquet file to one, and the memory that it takes.

    python benchmarks/groups.py                        # 10,000 and 100,000 groups, linear and logistic
    python benchmarks/groups.py --groups 1000000 --only linear
    python benchmarks/groups.py --smoke

Groups have 20 rows and 5 columns from N(0, 1), weights from N(0, 1), noise of sd 0.5; 200 draws each are asked for, of
which 1,112 are weighed. A process of its own answers each file, started cold: seconds are wall and CPU of all of it,
imports and compilation included, and memory is the most that was resident. Rows go to `results/groups.jsonl`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from rows import append

NUM_ROWS, NUM_COLUMNS, NUM_DRAWS = 20, 5, 200
KINDS = ("linear", "logistic")


def write_table(path: Path, kind: str, number: int) -> None:
    """A file of so many groups, in order."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number, NUM_ROWS, NUM_COLUMNS))
    eta = np.einsum("grp,gp->gr", x, rng.normal(size=(number, NUM_COLUMNS))) + rng.normal(size=(number, 1))
    if kind == "linear":
        y = eta + 0.5 * rng.normal(size=eta.shape)
    else:
        y = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(np.int64)
    columns = {f"x{j}": x[:, :, j].ravel() for j in range(NUM_COLUMNS)}
    store = np.repeat(np.arange(number), NUM_ROWS)
    pl.DataFrame({"store": store, **columns, "y": y.ravel()}).write_parquet(path)


def measure(kind: str, number: int) -> None:
    """One run as one row."""
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "table.parquet", Path(folder) / "out.parquet"
        write_table(table, kind, number)
        words = ["infer", f"{kind}_regression", str(table), "--target", "y", "--group", "store"]
        words += ["--draws", str(NUM_DRAWS), "-o", str(out), "--quiet"]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "posterity", *words], check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        verdicts = pl.scan_parquet(out).unique("name").group_by("verdict").len().collect()
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = {
            "case": kind,
            "groups": number,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "groups_per_second": round(number / seconds, 1),
            "cpu_ms_per_group": round(1e3 * cpu / number, 3),
            "peak_mb": round(after.ru_maxrss / 1024),  # the largest of all children so far: small runs come first
            "verdicts": dict(verdicts.iter_rows()),
        }
    append("groups", row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--smoke", action="store_true", help="40 groups: to see that it runs")
    options = parser.parse_args()
    for number in [40] if options.smoke else sorted(options.groups):
        for kind in [options.only] if options.only else KINDS:
            measure(kind, number)


if __name__ == "__main__":
    main()
