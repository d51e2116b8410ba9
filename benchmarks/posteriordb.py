"""Ten posteriors of posteriordb, two of them written in two ways, nothing trained, against their reference draws.

    python benchmarks/posteriordb.py                                  # every posterior, skipping those done
    python benchmarks/posteriordb.py --only sblri-blr,wells_data-wells_dist --again

Each program is a NumPyro model in `posteriordb_models.py` and is answered by `posterity.informed` with
10,000 draws and the default refinement. A latent's mean should lie within 0.1 sd of the reference's, its sd within 10%,
or it should call itself untrusted. Moments of the reference: those by quadrature or importance sampling where
`summary.json` has them, else those of its draws. Seconds are those of a second call, once compiled. The data are
looked for in `$POSTERITY_REFERENCES/posteriordb` or `../shared/data/posteriordb`. Rows go to
`results/posteriordb.jsonl`.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from metrics import moments
from posteriordb_models import POSTERIORS, Program, by_stan_name
from references import MissingDataError, folder
from rows import append, read

import posterity

NAME = "posteriordb"
NUM_DRAWS = 10_000
MEAN_TARGET, SD_TARGET = 0.1, 0.1


def compare(posterior: posterity.Posterior, program: Program, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Largest difference of means in sds of the reference, range of the ratios of sds, and where they are."""
    sites, log_weights = posterior.weighted
    ours = by_stan_name(program.quantities(sites))
    if set(ours) != set(summary):
        raise ValueError(f"latents {sorted(set(ours) ^ set(summary))} are not both ours and the reference's")
    gaps, ratios = {}, {}
    for name, draws in ours.items():
        exact = summary[name]
        mean, sd = exact.get("exact_mean", exact["mean"]), exact.get("exact_sd", exact["sd"])
        our_mean, our_sd = map(float, moments(draws, log_weights))
        gaps[name], ratios[name] = abs(our_mean - mean) / sd, our_sd / sd
    worst_sd = max(ratios, key=lambda name: abs(np.log(ratios[name])))
    return {
        "mean_gap": max(gaps.values()),
        "mean_gap_at": max(gaps, key=lambda name: gaps[name]),
        "sd_ratio": [min(ratios.values()), max(ratios.values())],
        "sd_ratio_at": worst_sd,
        "within": max(gaps.values()) <= MEAN_TARGET and all(abs(r - 1.0) <= SD_TARGET for r in ratios.values()),
    }


def run(name: str, path: Path) -> None:
    """Answers one posterior and appends its row."""
    program = POSTERIORS[name]
    info, summary, data = (json.loads((path / f"{part}.json").read_text()) for part in ("info", "summary", "data"))
    arguments = program.arguments(data)
    started = time.perf_counter()
    estimator = posterity.informed(program.model, arguments)
    first = estimator.infer(arguments, num_draws=NUM_DRAWS)
    first_seconds = time.perf_counter() - started
    posterior = estimator.infer(arguments, num_draws=NUM_DRAWS)  # compiled by now
    if posterior.verdict != first.verdict:
        print(f"{name}: {first.verdict} at first, {posterior.verdict} at once after", flush=True)
    row = {
        "posterior": name,
        "likelihood": info["likelihood"],
        "reference": info["reference_kind"],
        "latents": info["dimension"],
        "rows": posterior.num_rows,
        "structure": estimator.record["informed"],
        "verdict": posterior.verdict,
        "reasons": list(posterior.reasons),
        "pareto_k": posterior.pareto_k,
        "ess": posterior.ess,
        "draws": NUM_DRAWS,
        **compare(posterior, program, summary),
        "first_seconds": first_seconds,
        "seconds": posterior.seconds,
    }
    append(NAME, row)
    low, high = row["sd_ratio"]
    print(
        f"{name} {row['verdict']}: k-hat {row['pareto_k']:.2f}, ESS {row['ess']:.0f}, mean gap {row['mean_gap']:.3f} "
        f"sd ({row['mean_gap_at']}), sd ratio {low:.3f}..{high:.3f} ({row['sd_ratio_at']}), {row['seconds']:.2f} s, "
        f"first {first_seconds:.0f} s {'' if row['within'] else 'OUTSIDE'} {' '.join(posterior.reasons)}",
        flush=True,
    )


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of posteriors, separated by commas")
    parser.add_argument("--again", action="store_true", help="also those that have a row")
    options = parser.parse_args()
    try:
        found = folder("posteriordb")
    except MissingDataError as error:
        print(f"skipped: {error}")
        return
    done = set() if options.again else {row["posterior"] for row in read(NAME)}
    for name in options.only.split(",") if options.only else POSTERIORS:
        if name not in done:
            run(name, found / (POSTERIORS[name].folder or name))


if __name__ == "__main__":
    main()
