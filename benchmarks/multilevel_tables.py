"""Ten classic multilevel tables: NUTS references, and the informed posterior against them.

    python benchmarks/multilevel_tables.py --nuts                # references, skipping those that passed already
    python benchmarks/multilevel_tables.py                       # answers, skipping those done at this commit
    python benchmarks/multilevel_tables.py --only sleepstudy,Exam

Models and scaling are in `multilevel_models.py`. References: 4 chains, the effects in units of their sds where that is
the better geometry, the same latents kept; rank R-hat <= 1.01, bulk and tail ESS >= 400, no divergences, with twice
the steps until they hold or `--seconds` are spent. Their moments go to `results/multilevel_nuts.jsonl`. Answers:
`posterity.informed(model, like).infer(data)` as a user calls it, twice; largest difference of means in sds of NUTS,
range of the ratios of sds, verdict, seconds of both calls. Rows go to `results/multilevel_tables.jsonl`. The tables are
looked for in `$POSTERITY_REFERENCES/multilevel` or `../shared/data/multilevel`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
from multilevel_models import TABLES, read_table
from nuts import compare, non_centred, to_gates
from references import MissingDataError, folder
from rows import append, commit, read

import posterity

NAME, REFERENCE = "multilevel_tables", "multilevel_nuts"
MEAN_TARGET, SD_TARGET, SECONDS_TARGET = 0.1, 0.1, 2.0
DIGITS = 5


def reference(name: str) -> dict[str, Any] | None:
    """The newest row of NUTS on a table that passed its gates, else the newest."""
    rows = read(REFERENCE, lambda row: row["table"] == name)
    return next((row for row in reversed(rows) if row["passes"]), rows[-1] if rows else None)


def make_reference(name: str, path: Path, seconds: float, steps: int) -> None:
    """Runs NUTS on one table, and keeps the moments of every latent."""
    table, arguments = TABLES[name], read_table(path, name)
    ways = [non_centred(table.model, table.non_centred), table.model]
    if not table.non_centred:
        ways = [table.model]
    chains = to_gates(ways, arguments, seconds=seconds, steps=(1000, steps))
    kept = {site: of for site, of in chains.moments.items() if not site.endswith("_base")}
    row = {
        "table": name,
        "rows": len(arguments["y"]),
        "mean": {site: _rounded(mean) for site, (mean, _) in kept.items()},
        "sd": {site: _rounded(sd) for site, (_, sd) in kept.items()},
        **chains.gates,
        "chains": next(iter(chains.draws.values())).shape[0],
        "steps": chains.steps,
        "seed": 0,
        "seconds": round(chains.seconds[0], 1),
        "cpu_seconds": round(chains.seconds[1], 1),
        "numpyro": numpyro.__version__,
        "jax": jax.__version__,
    }
    append(REFERENCE, row)
    told = {key: row[key] for key in ("passes", "r_hat", "bulk_ess", "tail_ess", "divergent", "steps", "seconds")}
    print(f"{name} NUTS {told}", flush=True)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in np.ravel(values)]


def against(posterior: posterity.Posterior, nuts: dict[str, Any]) -> dict[str, Any]:
    """How far an answer is from a reference, and whether that is near enough."""
    found = compare(
        posterior, {site: (np.array(mean), np.array(nuts["sd"][site])) for site, mean in nuts["mean"].items()}
    )
    within = found["mean_gap"] <= MEAN_TARGET and all(abs(ratio - 1.0) <= SD_TARGET for ratio in found["sd_ratio"])
    return {**found, "within": within, "nuts_passes": nuts["passes"]}


def answer(name: str, path: Path, num_draws: int) -> None:
    """Answers one table twice, and appends its row."""
    arguments, nuts = read_table(path, name), reference(name)
    started = time.perf_counter()
    estimator = posterity.informed(TABLES[name].model, arguments)
    estimator.infer(arguments, num_draws=num_draws)
    first_seconds = time.perf_counter() - started
    posterior = estimator.infer(arguments, num_draws=num_draws)
    row = {
        "table": name,
        "rows": posterior.num_rows,
        "latents": posterior.model.space.size,
        "draws": num_draws,
        "structure": estimator.record["informed"],
        "verdict": posterior.verdict,
        "reasons": list(posterior.reasons),
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess / num_draws,
        **({} if nuts is None else against(posterior, nuts)),
        "first_seconds": first_seconds,
        "seconds": posterior.seconds,
    }
    append(NAME, row)
    print({key: value for key, value in row.items() if key not in ("structure",)}, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"tables, separated by commas: {', '.join(TABLES)}")
    parser.add_argument("--nuts", action="store_true", help="make references instead of answers")
    parser.add_argument("--seconds", type=float, default=900.0, help="most time for the NUTS of one table")
    parser.add_argument("--steps", type=int, default=2500, help="steps of NUTS kept of each chain, at first")
    parser.add_argument("--draws", type=int, default=10_000)
    options = parser.parse_args()
    try:
        found = folder("multilevel")
    except MissingDataError as error:
        print(f"skipped: {error}")
        return
    done = {row["table"] for row in read(NAME) if row["commit"] == commit()}
    for name in options.only.split(",") if options.only else TABLES:
        if options.nuts and (options.only or not (reference(name) or {"passes": False})["passes"]):
            make_reference(name, found, options.seconds, options.steps)
        elif not options.nuts and (options.only or name not in done):
            answer(name, found, options.draws)


if __name__ == "__main__":
    main()
