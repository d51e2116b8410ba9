"""The informed posterior against long NUTS on real tables.

    POSTERITY_DATA=path/to/tabular python benchmarks/real_tables.py        # every table, skipping those done
    python benchmarks/real_tables.py --only diabetes,wdbc

Every regression table gets `linear_regression` and every table with two classes `logistic_regression`, covariates
(and a real target) z-scored, constant columns left out, at most 64 columns. 10,000 draws, weighted; NUTS with 4 chains
of 2500 draws after 1000 steps of warm-up. Without POSTERITY_DATA: the sets that come with scikit-learn. Rows go to
`results/real_tables.jsonl`: verdict, largest |difference of means| / sd of NUTS, range of sd / sd of NUTS. Moments by
NUTS are kept in `results/real_tables_nuts.jsonl`.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from metrics import moments
from rows import append, read

import posterity
from posterity.trust.nuts import nuts_reference

NAME, REFERENCE = "real_tables", "real_tables_nuts"
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


def reference(name: str, model: str, posterior: posterity.Posterior) -> dict[str, Any]:
    """Moments by long NUTS, run once per table and kept in `results/real_tables_nuts.jsonl`."""
    kept = read(REFERENCE, lambda row: row["table"] == name and row["rows"] == posterior.num_rows)
    if kept:
        return kept[-1]
    chains = nuts_reference(posterior.model, posterior.data, num_draws=2500)
    flat = {site: draws.reshape(len(draws), -1) for site, draws in chains.draws.items()}
    row = {
        "table": name,
        "model": model,
        "rows": posterior.num_rows,
        "mean": {site: [round(float(m), 5) for m in draws.mean(axis=0)] for site, draws in flat.items()},
        "sd": {site: [round(float(s), 6) for s in draws.std(axis=0)] for site, draws in flat.items()},
        "r_hat": chains.max_r_hat,
        "ess": chains.min_ess,
        "divergent": chains.num_divergent,
        "seconds": chains.seconds,
    }
    append(REFERENCE, row)
    return row


def compare(name: str, model: str, frame: pl.DataFrame) -> None:
    """Appends the row of one table."""
    frame = frame.select([c for c in frame.columns if frame[c].n_unique() > 1])
    posterior = posterity.infer(model, frame, target="target", num_draws=NUM_DRAWS)
    nuts = reference(name, model, posterior)
    sites, log_weights = posterior.weighted
    gaps, ratios = [], []
    for site, draws in sites.items():
        mean, sd = map(np.ravel, moments(draws, log_weights))
        gaps += list(np.abs(mean - nuts["mean"][site]) / nuts["sd"][site])
        ratios += list(sd / nuts["sd"][site])
    row = {
        "table": name,
        "model": model,
        "rows": posterior.num_rows,
        "features": frame.width - 1,
        "verdict": posterior.verdict,
        "reasons": list(posterior.reasons),
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess / posterior.num_weighed,
        "mean_gap": max(gaps),
        "sd_ratio": [min(ratios), max(ratios)],
        "nuts_r_hat": nuts["r_hat"],
        "nuts_ess": nuts["ess"],
        "nuts_seconds": nuts["seconds"],
    }
    append(NAME, row)
    print(
        f"{name} {posterior.num_rows} x {frame.width - 1} {posterior.verdict}: ESS {row['ess']:.3f}, k-hat "
        f"{row['pareto_k']:.2f}, mean gap {max(gaps):.3f} sd, sd ratio {min(ratios):.3f}..{max(ratios):.3f}; "
        f"NUTS R-hat {nuts['r_hat']:.3f}, ESS {nuts['ess']:.0f}, {nuts['seconds']:.0f} s",
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
