"""Random tables that nobody has cleaned: each must be read rightly or refused in one clear sentence.

Hypothesis makes tables of 0 to 30 rows, now and then with thousands of columns, out of all that real ones hold:
offsets, units from 1e-30 to 1e300, denormals, NaN, infinities, integers beyond 2^53, booleans, dates, labels, numbers
with idle zeros, codes for missing cells, quotes, line breaks, Unicode and control characters, duplicate and blank
names; as CSV (separators, BOM, CRLF, gzip, cut short, damaged bytes), as Parquet, and as frames of Polars and pandas.
There are three levels:

    read     `read_table` and `Recipe.fit`, as the first half of every answer. What is read must be the numbers that
             were written: they are compared with the float64 values behind the table, row by row
    answer   the posterior of `linear_regression`, compared with sums over its noise scale in float64
    command  `posterity infer` and `predict` in this process: exit code 0 or 2, one line on standard error, no traceback

    python benchmarks/bad_tables.py read --chunks 100     # 200 tables a chunk; a chunk that is recorded is passed over

Each chunk is one line of `benchmarks/results/bad_tables.jsonl`: counts per outcome, and the faults with their tables.
"""

import argparse
import collections
import contextlib
import gzip
import io
import json
import math
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from posterity.model.builtin import MODELS
from posterity.runtime.errors import InputError
from posterity.tables.read import as_frame, read_table
from posterity.tables.recipe import Recipe

RECORD = Path(os.environ.get("POSTERITY_RESULTS", Path(__file__).parent / "results")) / "bad_tables.jsonl"
PER_CHUNK = {"read": 200, "answer": 20, "command": 20}
SLOW = {"read": 20.0, "answer": 60.0, "command": 60.0}  # seconds from which a table counts as a fault
MODEL_NAMES = ("linear_regression", "logistic_regression", "poisson_regression", "categorical_regression")

floats = st.floats(-3, 3, width=32).map(lambda x: round(x, 4))
words = st.sampled_from(
    ["a", "b", "x y", "é", "日本", "NA", "?", '"', "it's", "a,b", "a;b", "\x1b[2J", "-", "", " ", "1e"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
extremes = st.sampled_from(
    [1e300, -1e300, 1e39, 5e-324, 1e-310, 1e-38, 0.0, -0.0, 2.0**53, 2.0**63, math.inf, -math.inf]
)

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "floats": floats,
    "offset": floats.map(lambda x: 1e15 + 10 * x),
    "near": floats.map(lambda x: 1e7 + 1e-6 * x),
    "tiny": floats.map(lambda x: 1e-30 * x),
    "huge": floats.map(lambda x: 1e30 * x),
    "counts": st.integers(0, 12),
    "large": st.integers(0, 10**9),
    "long": st.integers(-(2**63), 2**63 - 1),
    "binary": st.integers(0, 1),
    "codes": st.integers(0, 2),
    "flags": st.booleans(),
    "constant": st.just(7.5),
    "missing": st.one_of(floats, st.none()),
    "nan": st.one_of(floats, st.just(math.nan)),
    "extremes": st.one_of(floats, extremes),
    "labels": st.sampled_from(["red", "green", "blue"]),
    "zeros": st.sampled_from(["00", "05", "10", "85+"]),
    "padded": st.sampled_from([" 2", "3 ", "+4", "05", "1_000", "1,5", "0x1F", "\u0661"]),
    "words": words,
    "texts": texts,
    "mixed": st.one_of(floats.map(str), words, st.integers(-5, 5).map(str)),
    "dates": st.dates().map(str),
}
USUAL = ("floats", "floats", "counts", "binary", "labels")
names = st.one_of(
    st.sampled_from(
        ["x", "a", "b", "y", "g", " y ", "", "1", "2.5", "Unnamed: 0", "é", 'q"q', "c,d", "l\nl", "\x1b[0m"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


@dataclass
class Table:
    """One random table, and what is asked of it."""

    columns: list[tuple[str, list[Any]]]
    kind: str
    content: Any  # bytes of a file, or a frame
    is_damaged: bool
    options: dict[str, Any] = field(default_factory=dict)

    def shown(self) -> str:
        """Enough to make it again."""
        content = self.content if isinstance(self.content, bytes) else repr(self.columns).encode()
        return f"{self.kind} {self.options} {content[:600]!r}"


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table and options for it; every second one has cells and options that suit a model."""
    if draw(st.booleans()):
        return draw(suitable())
    num_rows = draw(st.sampled_from([0, 1, 2, 3, *[12] * 6, 30]))
    width = draw(st.sampled_from([1, 2, 2, 3, 3, 3, 4, 6, *([300, 10_000] if draw(st.integers(0, 99)) == 0 else [])]))
    few = draw(st.lists(st.tuples(names, st.sampled_from([*CELLS, *USUAL * 4])), min_size=min(width, 6), max_size=6))
    few = few[: min(width, 6)]
    plain = draw(st.booleans())  # half of the tables have the names that a table should
    columns = [
        (f"c{i}" if plain else name, draw(st.lists(CELLS[kind], min_size=num_rows, max_size=num_rows)))
        for i, (name, kind) in enumerate(few)
    ]
    rng = np.random.default_rng(num_rows)
    columns += [(f"w{i}", rng.normal(size=num_rows).tolist()) for i in range(width - len(columns))]
    if draw(st.integers(0, 19)) == 0 and len(columns) > 1:
        columns[-1] = (draw(st.sampled_from([columns[0][0], "copy"])), columns[0][1])
    kind = draw(st.sampled_from(["csv", "csv", "csv", "parquet", "polars", "pandas"]))
    content, is_damaged = _content(draw, columns, kind)
    if content is None:
        kind, (content, is_damaged) = "csv", _content(draw, columns, "csv")
    given_names = [name for name, _ in columns]
    options: dict[str, Any] = {
        "target": draw(st.sampled_from([given_names[-1].strip()] * 8 + given_names + ["no", None]))
    }
    options["model"] = draw(st.sampled_from(MODEL_NAMES))
    if draw(st.integers(0, 3)) == 0:
        options["categorical"] = draw(
            st.lists(st.sampled_from([n.strip() for n in given_names]), max_size=2, unique=True)
        )
    options["drop_missing"] = draw(st.booleans())
    options["missing"] = draw(st.sampled_from([(), (), ("?",), ("-999", "NA")]))
    return Table(columns, kind, content, is_damaged, options)


NUMBERS = ("floats", "floats", "floats", "offset", "near", "tiny", "huge", "counts", "large", "long", "binary", "flags")
TARGETS = {
    "linear_regression": ("floats", "offset", "near", "tiny", "huge", "large", "missing"),
    "logistic_regression": ("binary", "flags"),
    "poisson_regression": ("counts", "large"),
    "categorical_regression": ("codes", "labels", "zeros"),
}


@st.composite
def suitable(draw: st.DrawFn) -> Table:
    """A table that a model can take, if neither chance nor damage spoils it."""
    num_rows = draw(st.sampled_from([8, 12, 30]))
    model = draw(st.sampled_from(MODEL_NAMES))
    few = draw(st.lists(st.sampled_from([*NUMBERS, "missing", "nan", "labels", "zeros"]), min_size=1, max_size=4))
    title = draw(st.sampled_from(["c{}", "c{}", "{}", " é{}", 'q"{}', "a,{}", "l\nl{}", "\x1b[0m{}"]))
    kinds = [*few, draw(st.sampled_from(TARGETS[model]))]
    columns = [
        (title.format(i), draw(st.lists(CELLS[kind], min_size=num_rows, max_size=num_rows)))
        for i, kind in enumerate(kinds)
    ]
    kind = draw(st.sampled_from(["csv", "csv", "csv", "parquet", "polars", "pandas"]))
    content, is_damaged = _content(draw, columns, kind)
    if content is None:
        kind, (content, is_damaged) = "csv", _content(draw, columns, "csv")
    categories = [name.strip() for (name, _), what in zip(columns, few, strict=False) if what in ("labels", "zeros")]
    options = {"model": model, "target": columns[-1][0].strip(), "categorical": categories, "missing": ()}
    return Table(
        columns, kind, content, is_damaged, options | {"drop_missing": draw(st.sampled_from([True, True, False]))}
    )


def _content(draw: st.DrawFn, columns: list[tuple[str, list[Any]]], kind: str) -> tuple[Any, bool]:
    """The file's bytes, or the frame; None where such a frame cannot be."""
    if kind == "csv":
        return _csv(draw, columns)
    try:
        if kind == "pandas":
            import pandas as pd

            return pd.DataFrame({i: pd.Series(cells) for i, (_, cells) in enumerate(columns)}).set_axis(
                [name for name, _ in columns], axis=1
            ), False
        frame = pl.DataFrame([pl.Series(name, cells, strict=False) for name, cells in columns])
        if kind == "polars":
            return frame, False
        file = io.BytesIO()
        frame.write_parquet(file)
        return _damaged(draw, file.getvalue())
    except (pl.exceptions.PolarsError, TypeError, OverflowError):
        return None, False


def _csv(draw: st.DrawFn, columns: list[tuple[str, list[Any]]]) -> tuple[bytes, bool]:
    separator = draw(st.sampled_from([",", ",", ",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    always = draw(st.booleans())

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        needs = always or any(c in text for c in (separator, '"', "\n", "\r"))
        return '"' + text.replace('"', '""') + '"' if needs else text

    lines = [separator.join(cell(name) for name, _ in columns)]
    lines += [separator.join(map(cell, row)) for row in zip(*(cells for _, cells in columns), strict=True)]
    content = (end.join(lines) + draw(st.sampled_from([end, ""]))).encode("utf-8")
    content = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + content
    content, is_damaged = _damaged(draw, content)
    return (gzip.compress(content) if draw(st.integers(0, 9)) == 0 else content), is_damaged


def _damaged(draw: st.DrawFn, content: bytes) -> tuple[bytes, bool]:
    """Now and then cut short, with a few other bytes, or in another encoding."""
    what = draw(st.integers(0, 19))
    if what == 0:
        return content[: draw(st.integers(0, len(content)))], True
    if what == 1 and content:
        damaged = bytearray(content)
        for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            damaged[place] = draw(st.integers(0, 255))
        return bytes(damaged), True
    if what == 2:
        return content.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "latin-1"])), "replace"), True
    return content, False


# --- Levels ---


def read(table: Table, folder: Path) -> str:
    """`read` where the numbers are those that were written, `refused` with one sentence."""
    options = table.options
    model = MODELS[options["model"]]
    texts = tuple(options.get("categorical", ()))
    try:
        if isinstance(table.content, bytes):
            path = folder / f"table.{table.kind}"
            path.write_bytes(table.content)
            frame, source = read_table(path, text_columns=texts, missing=options["missing"]), str(path)
        else:
            frame, source = as_frame(table.content, missing=options["missing"])
        recipe, data = Recipe.fit(
            frame,
            model.read(2).arguments,
            target=options["target"],
            standardized=model.standardized,
            categorical=texts,
            drop_missing=options["drop_missing"],
            source=source,
        )
    except InputError as error:
        return _checked_message(str(error))
    for name, values in data.values.items():
        if not np.isfinite(np.asarray(values, np.float64)).all():
            raise AssertionError(f"'{name}' holds values that are not finite")
    if not table.is_damaged and not options["missing"]:
        _compare(table, recipe, data)
    return "read"


def _checked_message(message: str) -> str:
    if len(message) > 4000 or not message.strip():
        raise AssertionError(f"a message of {len(message)} characters: {message[:200]}")
    return "refused"


def _compare(table: Table, recipe: Recipe, data: Any) -> None:
    """Numbers of the recipe, back in the table's units, against those that were written."""
    written = {name.strip(): cells for name, cells in table.columns}
    matrix = np.asarray(data.values["x"], np.float64)
    assert recipe.scaling is not None
    there = {name: (matrix[:, i], i) for i, name in enumerate(recipe.names)}
    for name, (column, i) in there.items():
        if name in recipe.covariates and name not in recipe.levels and name in written:
            right = np.array([_number(written[name][row]) for row in data.rows])
            back = column * recipe.scaling.sds[i] + recipe.scaling.means[i]
            size = np.abs(right).max() + 1e-300
            if not np.allclose(back, right, rtol=1e-9, atol=1e-9 * size):
                raise AssertionError(f"column '{name}' was read as {back[:5]}, written {right[:5]}")


def _number(cell: Any) -> float:
    return float(cell) if not isinstance(cell, str) else float(cell.strip())


def answer(table: Table, folder: Path) -> str:
    """`right` against float64 sums over the noise scale, `untrusted` with reasons, or `refused`."""
    import posterity

    data: Any = table.content
    if isinstance(data, bytes):
        data = folder / f"table.{table.kind}"
        data.write_bytes(table.content)
    options = table.options
    try:
        found = posterity.infer(
            "linear_regression",
            data,
            target=options["target"],
            categorical=tuple(options.get("categorical", ())),
            drop_missing=options["drop_missing"],
            refine_seconds=5.0,
        )
    except InputError as error:
        return _checked_message(str(error))
    if found.verdict == "untrusted":
        if not found.reasons:
            raise AssertionError("untrusted without a reason")
        return "untrusted"
    mean, sd = exact_regression(np.asarray(found.data["x"], float), np.asarray(found.data["y"], float))
    w = np.concatenate([found["w"], found["b"][:, None]], axis=1).astype(float)
    # 5.5 standard errors of 400 effective draws: 4e-8 false alarms for each latent.
    off = np.abs(w.mean(axis=0) - mean) / sd
    wide = np.abs(np.log(w.std(axis=0) / sd))
    if off.max() > 5.5 / 20 or wide.max() > 0.3:
        raise AssertionError(f"{found.verdict}, but off by {off.max():.2f} sds, widths by {wide.max():.2f} nats")
    return "right"


def exact_regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and sds of w and b in `linear_regression`, by sums over 400 noise scales in float64."""
    design = np.column_stack([x, np.ones(len(x))])
    prior = np.ones(design.shape[1])  # w, b ~ Normal(0, 1)
    scales = np.exp(np.linspace(-16.0, 3.0, 800))
    logs, means, seconds = [], [], []
    for s in scales:
        precision = np.diag(1.0 / prior**2) + design.T @ design / s**2
        factor = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, design.T @ y / s**2)
        rest = y - design @ mean
        fit = -0.5 * (rest @ rest) / s**2 - 0.5 * np.sum((mean / prior) ** 2) - len(y) * np.log(s)
        # sigma ~ HalfNormal(1), and d sigma = sigma d log sigma
        logs.append(fit - np.log(np.diag(factor)).sum() - 0.5 * s**2 + np.log(s))
        means.append(mean)
        seconds.append(np.diag(np.linalg.inv(precision)) + mean**2)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    return mean, np.sqrt(weights @ np.array(seconds) - mean**2)


def command(table: Table, folder: Path) -> str:
    """`answered` or `refused`, by the exit code."""
    from posterity.cli.app import main

    path = folder / f"table.{'csv' if table.kind == 'csv' else 'parquet'}"
    content = table.content
    if not isinstance(content, bytes):
        try:
            frame = as_frame(content)[0]
        except InputError as error:
            return _checked_message(str(error))
        file = io.BytesIO()
        frame.write_parquet(file)
        content = file.getvalue()
    path.write_bytes(content)
    options = table.options
    infer = ["infer", options["model"], str(path), "--refine", "0", "--draws", "100", "--quiet"]
    infer += ["--target=" + options["target"]] if options["target"] is not None else []
    infer += [f"--categorical={name}" for name in options.get("categorical", ())]
    infer += ["--drop-missing"] if options["drop_missing"] else []
    infer += [f"--missing={code}" for code in options["missing"]]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(infer)
    said = err.getvalue()
    if code not in (0, 2) or "\x1b" in out.getvalue() + said:
        raise AssertionError(f"exit code {code}, escapes {'yes' if chr(27) in out.getvalue() + said else 'no'}: {said}")
    if code == 2 and (said.count("\n") != 1 or not said.startswith("error: ")):
        raise AssertionError(f"not one line: {said!r}")
    return "answered" if code == 0 else "refused"


LEVELS = {"read": read, "answer": answer, "command": command}


def run_chunk(level: str, number: int) -> dict[str, Any]:
    """Counts per outcome of one chunk, and its faults."""
    counts: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:

        @seed(number)
        @settings(
            max_examples=PER_CHUNK[level],
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(tables())
        def one(table: Table) -> None:
            began = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    outcome = LEVELS[level](table, Path(place))
                if time.perf_counter() - began > SLOW[level]:
                    outcome = "slow"
                    faults.append(f"{time.perf_counter() - began:.0f} s: {table.shown()}")
            except Exception as error:  # every kind is a fault here
                outcome = "fault"
                faults.append(f"{type(error).__name__}: {error}: {table.shown()}")
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or "Panic" not in type(error).__name__:
                    raise
                outcome = "fault"
                faults.append(f"{type(error).__name__}: {error}: {table.shown()}")
            counts[outcome] += 1

        one()
    import resource

    return {
        "level": level,
        "chunk": number,
        "counts": dict(counts),
        "seconds": round(time.perf_counter() - started, 1),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "faults": faults[:20],
    }


def main() -> int:
    """Runs the chunks that are not recorded yet, and prints the counts of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument("--chunks", type=int, default=1)
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args()
    options.record.parent.mkdir(exist_ok=True)
    lines = options.record.read_text().splitlines() if options.record.exists() else []
    done = [json.loads(line) for line in lines]
    known = {entry["chunk"] for entry in done if entry["level"] == options.level}
    for number in range(options.chunks):
        if number in known:
            continue
        entry = run_chunk(options.level, number)
        done.append(entry)
        with options.record.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(number, entry["counts"], f"{entry['seconds']} s", *entry["faults"][:3], sep="  ", flush=True)
    totals: collections.Counter[str] = collections.Counter()
    for entry in done:
        if entry["level"] == options.level:
            totals.update(entry["counts"])
    print(options.level, sum(totals.values()), dict(totals))
    return int(totals["fault"] > 0)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
