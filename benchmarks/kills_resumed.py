"""Groups answered by the command, killed (SIGKILL) again and again: is the file that of an undisturbed run?

    python benchmarks/kills_resumed.py                            # 24,000 groups, 20 kills
    python benchmarks/kills_resumed.py --groups 3000 --kills 3

The same command is started again after each kill and goes on where the parts end. Kills come at random moments, each
at least one part after the one before, so that all of them hit a run that has something to lose; the last start is
left alone. Compared are all columns, except for seconds within the reasons. Rows go to `results/kills_resumed.jsonl`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from groups import write_table
from rows import append


def command(table: Path, out: Path) -> list[str]:
    """The command whose output is compared."""
    words = ["infer", "linear_regression", str(table), "--target", "y", "--group", "store", "-o", str(out)]
    return [sys.executable, "-m", "posterity", *words, "--draws", "200", "--quiet"]


def num_parts(out: Path) -> int:
    """Parts that lie beside the output."""
    return len(list(out.with_name(f"{out.name}.unfinished").glob("part-*.parquet")))


def disturbed(words: list[str], out: Path, kills: int, rng: np.random.Generator) -> int:
    """Starts and kills until so many kills are spent or the file is whole; kills that hit a run with parts."""
    done, parts = 0, 0
    while done < kills:
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as child:
            while child.poll() is None and num_parts(out) <= parts and not out.exists():
                time.sleep(0.02)
            time.sleep(float(rng.uniform(0.0, 0.5)))
            if child.poll() is not None:
                break
            child.kill()
        parts, done = num_parts(out), done + 1
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return done


def without_seconds(path: Path) -> pl.DataFrame:
    """A file of answers, with the seconds in its reasons blanked."""
    blank = pl.col("reasons").list.eval(pl.element().str.replace_all(r"\d+\.\d+ s", "seconds"))
    return pl.read_parquet(path).with_columns(blank)


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=24_000)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, whole, out = (Path(folder) / name for name in ("table.parquet", "whole.parquet", "out.parquet"))
        write_table(table, "linear", options.groups)
        subprocess.run(command(table, whole), check=True, stdout=subprocess.DEVNULL)
        done = disturbed(command(table, out), out, options.kills, np.random.default_rng(0))
        is_same = without_seconds(out).equals(without_seconds(whole))
        is_same_bytes = out.read_bytes() == whole.read_bytes()
        is_tidy = sorted(path.name for path in Path(folder).iterdir()) == ["out.parquet", "table.parquet", whole.name]
    row = {"groups": options.groups, "kills": done, "same": is_same, "same_bytes": is_same_bytes, "tidy": is_tidy}
    append("kills_resumed", row)
    print(row)
    return int(not (is_same and is_tidy))


if __name__ == "__main__":
    raise SystemExit(main())
