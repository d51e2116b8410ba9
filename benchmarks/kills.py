"""Processes killed (SIGKILL) while they write: every file is whole, in its old or its new form, or absent.

A child process writes one kind of file over and over, two contents in turn, by the functions that the command uses, and
is killed at a random moment. Then every file that bears the name is read and must be one of the two contents, inputs
must be untouched, and nothing may lie beside it but unfinished files, which are hidden or named so.

    python benchmarks/kills.py --kills 40        # of each kind
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import append

SETUP = {
    "csv": """
import shutil
import polars as pl
from posterity.results.group_file import GroupFile
shutil.rmtree(out.with_name(out.name + ".unfinished"), ignore_errors=True)  # as one is told to, to ask anew
frames = [pl.DataFrame({"name": [f"g{i}" for i in range(20000)], "mean": [float(i + v) for i in range(20000)],
                        "reasons": [["a"]] * 20000}) for v in (0, 1)]
def write(turn):
    with GroupFile(out, {"turn": turn}) as file:
        for first in range(0, 20000, 5000): file.add(frames[turn][first : first + 5000])
        file.finish()
""",
    "nc": """
import numpy as np, xarray as xr
from posterity.results.arviz import write_netcdf
trees = [xr.DataTree.from_dict({"posterior": xr.Dataset({"a": ("draw", np.arange(200000.0) + v)})}) for v in (0, 1)]
def write(turn): write_netcdf(trees[turn], out)
""",
    "html": """
from posterity.runtime.files import replacing
texts = ["<p>" + str(v) * 2_000_000 + "</p>" for v in (0, 1)]
def write(turn):
    with replacing(out) as unfinished: unfinished.write_text(texts[turn], encoding="utf-8")
""",
    "estimator": """
import json, numpy as np, tempfile
from safetensors.numpy import save_file
from posterity.estimator.artifact import RECORD, WEIGHTS, _put_in_place
def write(turn):
    staging = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    save_file({"w": np.full(500_000, float(turn), np.float32)}, staging / WEIGHTS)
    (staging / RECORD).write_text(json.dumps({"turn": turn}))
    _put_in_place(staging, out)
""",
}
SETUP["parquet"] = SETUP["csv"]
LOOP = """
import sys
from pathlib import Path
out = Path(sys.argv[1])
{setup}
write(0)
print("ready", flush=True)
turn = 1
while True:
    write(turn)
    turn = 1 - turn
"""
NAMES = {"csv": "out.csv", "parquet": "out.parquet", "nc": "out.nc", "html": "out.html", "estimator": "my.estimator"}


def is_whole(kind: str, out: Path) -> bool:
    """Whether what lies at `out` is one of the two contents."""
    if kind in ("csv", "parquet"):
        import polars as pl

        frame = pl.read_csv(out) if kind == "csv" else pl.read_parquet(out)
        return frame.height == 20000 and frame["mean"].sum() in (199990000.0, 200010000.0)
    if kind == "nc":
        import xarray as xr

        with xr.open_datatree(out, engine="h5netcdf") as tree:
            return float(tree["posterior"]["a"].sum()) in (19999900000.0, 20000100000.0)
    if kind == "html":
        return out.read_text() in ("<p>" + "0" * 2_000_000 + "</p>", "<p>" + "1" * 2_000_000 + "</p>")
    from safetensors.numpy import load_file

    turn = json.loads((out / "estimator.json").read_text())["turn"]
    return bool((load_file(out / "weights.safetensors")["w"] == turn).all())


def kill_once(kind: str, folder: Path, rng: random.Random) -> str:
    """`whole`, `aside` (an estimator between its two places, which a load says how to get back) or `fault`."""
    out = folder / NAMES[kind]
    code = LOOP.format(setup=SETUP[kind])
    with subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.5))
        child.send_signal(signal.SIGKILL)
    if not out.exists():
        aside = folder / f".{out.name}.old"
        return "aside" if kind == "estimator" and is_whole(kind, aside) else "fault: absent, though it was there"
    try:
        found = is_whole(kind, out)
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"
    aside = (f".{out.name}.", f"{out.name}.unfinished")
    strange = [p.name for p in folder.iterdir() if p != out and not p.name.startswith(aside)]
    return "whole" if found and not strange else f"fault: {'torn' if not found else strange}"


def main() -> int:
    """Kills children of every kind, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--only", choices=NAMES)
    options = parser.parse_args()
    rng, num_faults = random.Random(0), 0
    for kind in [options.only] if options.only else NAMES:
        counts: dict[str, int] = {}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(options.kills):
                found = kill_once(kind, Path(folder), rng)
                counts[found] = counts.get(found, 0) + 1
        num_faults += sum(number for found, number in counts.items() if found.startswith("fault"))
        append("kills", {"kind": kind, "counts": counts})
        print(kind, counts, flush=True)
    return int(num_faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
