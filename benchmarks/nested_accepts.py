"""Wrong answers that were accepted: corrected posteriors of simulated datasets against NUTS that converged.

    python benchmarks/nested_accepts.py                        # every case, skipping datasets done at this commit
    python benchmarks/nested_accepts.py --case garch --datasets 20
    python benchmarks/nested_accepts.py --case student_t --first 1000 --datasets 20 --draws 1000

For some datasets of each case of `nested_cases.py`, without sampling on. Where the verdict is
`corrected`, NUTS runs on the same dataset until rank R-hat <= 1.01, bulk and tail ESS >= 400 and no divergences, or
until `--seconds` are spent. An answer is false where a mean is off by 0.25 sd or an sd by 25%. Rows, one for each
dataset, go to `results/nested_accepts.jsonl`; those where NUTS did not converge say so, and prove nothing.
"""

import argparse
from typing import Any

from nested_cases import CASES
from nuts import compare, non_centred, to_gates
from rows import append, commit, read

import posterity
from posterity.trust.verdict import pareto_k_limit

NAME = "nested_accepts"
MEAN_LIMIT, SD_LIMIT = 0.25, 0.25


def judge(posterior: posterity.Posterior, ways: list[Any], arguments: dict[str, Any], seconds: float) -> dict[str, Any]:
    """An accepted answer against NUTS."""
    chains = to_gates(ways, arguments, seconds=seconds)
    found = compare(posterior, chains.moments)
    low, high = found["sd_ratio"]
    is_false = found["mean_gap"] > MEAN_LIMIT or high > 1.0 + SD_LIMIT or low < 1.0 - SD_LIMIT
    return {**found, "is_false": is_false, "nuts": chains.gates, "nuts_seconds": chains.seconds[0]}


def measure(name: str, seeds: list[int], num_draws: int, seconds: float) -> None:
    """Datasets of one case, as a row each."""
    case = CASES[name]
    datasets = {seed: case.simulate(seed) for seed in seeds}
    ways = [non_centred(case.model, case.centred), *([case.model] if case.centred else [])]
    try:
        estimator = posterity.informed(case.model, like=datasets[seeds[0]])
    except posterity.InputError as error:
        print(f"{name}: {error}", flush=True)
        return
    for seed, arguments in datasets.items():
        posterior = estimator.infer(arguments, num_draws=num_draws, refine_seconds=0)
        row = {"case": name, "title": case.title, "dataset": seed, "draws": num_draws, "verdict": posterior.verdict}
        weighed = posterior.num_weighed
        row |= {"weighed": weighed, "pareto_k": posterior.pareto_k, "ess": posterior.ess / weighed}
        # Passed although k-hat is too large, since the tail weighs next to nothing.
        is_heavy = bool(posterior.pareto_k > pareto_k_limit(weighed))
        row["by_light_tail"] = posterior.verdict == "corrected" and is_heavy
        if posterior.verdict == "corrected":
            row |= judge(posterior, ways, arguments, seconds)
        append(NAME, row)
        told = {key: value for key, value in row.items() if key not in ("case", "title", "dataset", "draws")}
        print(f"{name} {seed}{' FALSE' if row.get('is_false') else ''}: {told}", flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=f"cases, separated by commas: {', '.join(CASES)}")
    parser.add_argument("--datasets", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first dataset")
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=120.0, help="most time for the NUTS of one dataset")
    options = parser.parse_args()
    done = {(row["case"], row["dataset"], row["draws"]) for row in read(NAME) if row["commit"] == commit()}
    wanted = range(options.first, options.first + options.datasets)
    for name in options.case.split(",") if options.case else CASES:
        if seeds := [seed for seed in wanted if (name, seed, options.draws) not in done]:
            measure(name, seeds, options.draws, options.seconds)


if __name__ == "__main__":
    main()
