"""The informed posterior against long NUTS on real tables.

    POSTERITY_DATA=path/to/tabular python benchmarks/real_tables.py        # every table, skipping those done
    python benchmarks/real_tables.py --only diabetes,wdbc

Every regression table gets `linear_regression` and every table with two classes `logistic_regression`, covariates
(and a real target) z-scored, constant columns left out, at most 64 columns. 10,000 draws, weighted; NUTS with 4 chains
of 2500 draws after 1000 steps of warm-up. Without POSTERITY_DATA: the sets that come with scikit-learn. Rows go to
`results/real_tables.jsonl`: verdict, largest |difference of means| / sd of NUTS, range of sd / sd of NUTS.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from rows import append, read

import posterity
from posterity.nuts import nuts_reference

NAME = "real_tables"
NUM_DRAWS, MOST_FEATURES = 10_000, 64
Table = tuple[str, str, pl.DataFrame]


def tables() -> Iterator[Table]:
    """Name, model and frame of every table."""
    folder = os.environ.get("POSTERITY_DATA")
    if folder is None:
        yield from scikit_learn_tables()
        return
    for entry in json.loads((Path(folder) / "manifest.json").read_text()):
        model = "linear_regression" if entry["task"] == "regression" else "logistic_regression"
        if entry["features"] <= MOST_FEATURES and entry["classes"] in (None, 2):
            yield entry["name"], model, pl.read_csv(Path(folder) / entry["file"])


def scikit_learn_tables() -> Iterator[Table]:
    """One regression and one binary table that everybody has."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    for name, model, load in (
        ("diabetes", "linear_regression", load_diabetes),
        ("breast_cancer", "logistic_regression", load_breast_cancer),
    ):
        found = load()
        yield (
            name,
            model,
            pl.DataFrame({**dict(zip(found.feature_names, found.data.T, strict=True)), "target": found.target}),
        )


def compare(name: str, model: str, frame: pl.DataFrame) -> None:
    """Appends the row of one table."""
    frame = frame.select([c for c in frame.columns if frame[c].n_unique() > 1])
    found = posterity.infer(model, frame, target="target", num_draws=NUM_DRAWS)
    started = time.perf_counter()
    found = posterity.infer(model, frame, target="target", num_draws=NUM_DRAWS)
    seconds = time.perf_counter() - started
    answer = found.answer
    reference = nuts_reference(found.problem, found.data.values, num_draws=2500)
    weights = np.exp(answer.weights.log_weights)
    gaps, ratios = [], []
    for site, draws in answer.draws.items():
        ours, theirs = draws.reshape(len(draws), -1), reference.draws[site].reshape(len(reference.draws[site]), -1)
        mean = weights @ ours
        sd = np.sqrt(weights @ (ours - mean) ** 2)
        gaps += list(np.abs(mean - theirs.mean(axis=0)) / theirs.std(axis=0))
        ratios += list(sd / theirs.std(axis=0))
    row = {
        "table": name,
        "model": model,
        "rows": answer.num_rows,
        "features": frame.width - 1,
        "verdict": answer.verdict,
        "reasons": list(answer.reasons),
        "pareto_k": answer.weights.pareto_k,
        "ess": answer.weights.ess / NUM_DRAWS,
        "mean_gap": max(gaps),
        "sd_ratio": [min(ratios), max(ratios)],
        "nuts": {
            "r_hat": reference.max_r_hat, "ess": reference.min_ess, "divergent": reference.num_divergent,
            "seconds": reference.seconds,
        },
        "seconds": seconds,
    }  # fmt: skip
    append(NAME, row)
    print(
        f"{name} {answer.num_rows} x {frame.width - 1} {answer.verdict}: ESS {row['ess']:.3f}, k-hat "
        f"{row['pareto_k']:.2f}, mean gap {max(gaps):.3f} sd, sd ratio {min(ratios):.3f}..{max(ratios):.3f}; "
        f"NUTS R-hat {reference.max_r_hat:.3f}, ESS {reference.min_ess:.0f}, {reference.seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of tables, separated by commas")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else None
    for name, model, frame in sorted(tables(), key=lambda table: table[2].height * table[2].width):
        if (wanted is None or name in wanted) and not read(NAME, lambda row, n=name: row["table"] == n):
            compare(name, model, frame)


if __name__ == "__main__":
    main()
