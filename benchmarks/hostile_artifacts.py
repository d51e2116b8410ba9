"""Estimators of strangers: damaged in every way, each must be refused with a reason, or answer as it did.

Four kinds of damage, one after the other, on a copy of an estimator:

    flips      single bits of every file, at places spread evenly
    cuts       every file cut short, doubled, emptied, missing, a link, a pipe, a device, a folder, a bomb, 16 GiB
    fields     every field of `estimator.json`, nested ones included, replaced by values of other types and sizes, or
               removed; and hashes made anew, as somebody would who means harm
    tensors    tensors of another shape or dtype, with NaN, missing, too many; golden inputs and weights of another
               estimator; hashes made anew

    python benchmarks/hostile_artifacts.py tests/fixtures/regression.estimator

An outcome is `refused` (an InputError), `harmless` (it loads and gives the densities that it gave: only free text has
changed) or `fault` (another exception, more than 30 s, or more memory than 64 MB and twice the estimator).
"""

import argparse
import collections
import copy
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rows import RESULTS
from safetensors.numpy import load_file, save_file

import posterity
from posterity.estimator.artifact import GOLDEN, RECORD, WEIGHTS, with_hashes
from posterity.runtime.errors import InputError

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    10**9,
    10**30,
    1e308,
    "",
    "x",
    "../../etc/passwd",
    "x" * 10**5,
    [],
    {},
    [None],
]
VALUES += [[10**9, 10**9], [[[]]], {"a": {"b": []}}, [1, 2, 3], "float64", "gru", "transformer", "flow", 99]
MOST_SECONDS, MOST_EXTRA = 30.0, 64 * 2**20

Damage = Callable[[Path], None]


def flips(estimator: Path, number: int) -> Iterator[tuple[str, Damage]]:
    """One bit of every file, at so many places."""
    for file in sorted(estimator.iterdir()):
        for place in np.linspace(0, file.stat().st_size * 8 - 1, number).astype(int).tolist():

            def flip(path: Path, name: str = file.name, place: int = place) -> None:
                content = bytearray((path / name).read_bytes())
                content[place // 8] ^= 1 << place % 8
                (path / name).write_bytes(content)

            yield f"{file.name} bit {place}", flip


def cuts(estimator: Path) -> Iterator[tuple[str, Damage]]:
    """Whole files that are not what they were."""

    def huge(file: Path) -> None:
        with file.open("r+b") as opened:
            opened.truncate(2**34)

    def replaced(make: Callable[[Path], None]) -> Callable[[Path], None]:
        def change(file: Path) -> None:
            content = file.read_bytes()
            file.unlink()
            file.with_name("beside").write_bytes(content)
            make(file)

        return change

    ways: dict[str, Callable[[Path], None]] = {
        "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        "twice": lambda file: file.write_bytes(file.read_bytes() * 2),
        "empty": lambda file: file.write_bytes(b""),
        "noise": lambda file: file.write_bytes(os.urandom(1000)),
        "16 GiB": huge,
        "missing": lambda file: file.unlink(),
        "link": replaced(lambda file: file.symlink_to("beside")),
        "link to /dev/zero": replaced(lambda file: file.symlink_to("/dev/zero")),
        "pipe": replaced(lambda file: os.mkfifo(file)),
        "folder": replaced(lambda file: file.mkdir()),
        "bomb": lambda file: file.write_bytes(b"[" * 10**6),
        "wide bomb": lambda file: file.write_bytes(b'{"a":' * 10**5 + b"1" + b"}" * 10**5),
        "long number": lambda file: file.write_bytes(b"1" * 10**6),
        "header bomb": lambda file: file.write_bytes((2**62).to_bytes(8, "little") + b"{}"),
    }
    for file in sorted(estimator.iterdir()):
        for name, change in ways.items():
            yield f"{file.name} {name}", lambda path, f=file.name, change=change: change(path / f)


def fields(estimator: Path) -> Iterator[tuple[str, Damage]]:
    """Other values in the record."""
    record = json.loads((estimator / RECORD).read_text())

    def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if at:
            yield at
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, part in inner:
            yield from places(part, (*at, key))

    def rewritten(change: Callable[[Any], None]) -> Damage:
        def damage(path: Path) -> None:
            changed = copy.deepcopy(record)
            change(changed)
            if "sha256" in changed and changed["sha256"] == record["sha256"]:
                changed.pop("sha256")
                changed = with_hashes(changed, path)
            (path / RECORD).write_text(json.dumps(changed))

        return damage

    def reach(changed: Any, at: tuple[Any, ...]) -> Any:
        for key in at[:-1]:
            changed = changed[key]
        return changed

    for at in places(record):
        told = ".".join(map(str, at))
        yield f"without {told}", rewritten(lambda changed, at=at: reach(changed, at).__delitem__(at[-1]))
        for i, value in enumerate(VALUES):
            yield (
                f"{told} = {str(value)[:20]} ({i})",
                rewritten(lambda changed, at=at, value=value: reach(changed, at).__setitem__(at[-1], value)),
            )


def tensors(estimator: Path) -> Iterator[tuple[str, Damage]]:
    """Other tensors."""
    changes: dict[str, Callable[[np.ndarray], np.ndarray | None]] = {
        "NaN": lambda a: np.full(a.shape, np.nan, a.dtype) if a.dtype.kind == "f" else None,
        "infinite": lambda a: np.full(a.shape, np.inf, a.dtype) if a.dtype.kind == "f" else None,
        "huge": lambda a: np.full(a.shape, 1e30, a.dtype) if a.dtype.kind == "f" else None,
        "64 bits": lambda a: a.astype(np.float64),
        "whole": lambda a: a.astype(np.int32),
        "one axis more": lambda a: a[None],
        "flat": lambda a: a.reshape(-1) if a.ndim != 1 else a[:, None],
        "empty": lambda a: a.reshape(-1)[:0],
        "one more": lambda a: np.concatenate([a.reshape(-1), a.reshape(-1)[:1]]),
        "negative": lambda a: -a - 1 if a.dtype.kind == "f" else None,
    }

    def rewritten(name: str, change: Callable[[dict[str, np.ndarray]], None]) -> Damage:
        def damage(path: Path) -> None:
            own = load_file(path / name)
            change(own)
            save_file({k: np.ascontiguousarray(v) for k, v in own.items()}, path / name)
            record = json.loads((path / RECORD).read_text())
            record.pop("sha256")
            (path / RECORD).write_text(json.dumps(with_hashes(record, path)))

        return damage

    for name in (WEIGHTS, GOLDEN):
        for tensor, values in load_file(estimator / name).items():
            yield f"{name} without {tensor}", rewritten(name, lambda own, t=tensor: own.pop(t))
            for what, change in changes.items():
                if (new := change(values)) is not None:
                    yield (
                        f"{name} {tensor} {what}",
                        rewritten(name, lambda own, t=tensor, new=new: own.update({t: new})),
                    )
        yield f"{name} and one more", rewritten(name, lambda own: own.update(more=np.zeros(3, np.float32)))
        yield f"{name} empty", rewritten(name, lambda own: own.clear())


def outcome(estimator: Path, damage: Damage) -> str:
    """What loading a damaged copy comes to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.estimator"
        shutil.copytree(estimator, path)
        damage(path)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.perf_counter()
        try:
            loaded = posterity.load(path)
            loaded._request(10, 0, 0.0, {})  # what is read of the record when a dataset is answered
            found = "harmless"
        except InputError as error:
            found = "refused" if str(error).strip() else "fault: no reason"
        except Exception as error:
            found = f"fault: {type(error).__name__}: {str(error)[:200]}"
        seconds = time.perf_counter() - started
        extra = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        size = sum(file.stat().st_size for file in estimator.iterdir())
        if found == "refused" and extra > MOST_EXTRA + 2 * size:
            found = f"fault: {extra / 2**20:.0f} MB more"
        return found if seconds < MOST_SECONDS else f"fault: {seconds:.0f} s"


def main() -> int:
    """Tries all kinds, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("estimator", type=Path)
    parser.add_argument("--flips", type=int, default=400, help="bits of each file")
    parser.add_argument("--every", type=int, default=1, help="only one of so many of the fields and tensors")
    options = parser.parse_args()
    posterity.load(options.estimator)  # compiles
    kinds = {
        "flips": list(flips(options.estimator, options.flips)),
        "cuts": list(cuts(options.estimator)),
        "fields": list(fields(options.estimator))[:: options.every],
        "tensors": list(tensors(options.estimator))[:: options.every],
    }
    num_faults = 0
    RESULTS.mkdir(exist_ok=True)
    for kind, cases in kinds.items():
        counts: collections.Counter[str] = collections.Counter()
        faults, harmless = [], []
        for told, damage in cases:
            found = outcome(options.estimator, damage)
            counts[found.partition(":")[0]] += 1
            if found.startswith("fault"):
                faults.append(f"{told}: {found}")
            elif found == "harmless":
                harmless.append(told)
        num_faults += len(faults)
        row = {"kind": kind, "estimator": options.estimator.name, "counts": dict(counts), "faults": faults}
        with (RESULTS / "hostile_artifacts.jsonl").open("a") as file:
            file.write(json.dumps({**row, "harmless": harmless[:100]}) + "\n")
        print(kind, dict(counts), *faults[:5], sep="  ", flush=True)
    return int(num_faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
