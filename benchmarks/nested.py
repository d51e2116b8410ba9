"""Models of several scales, of several predictors a row, and without rows: importance ESS, k-hat and seconds.

    python benchmarks/nested.py                                 # every case, skipping those done at this commit
    python benchmarks/nested.py --case crossed_three,garch --datasets 5
    python benchmarks/nested.py --nuts                          # NUTS beside it, on some of the cases

Each case runs in a process of its own with no program kept from before. Datasets are drawn from the model's own joint
(`nested_cases.py`); 1000 draws of each by `infer_each` without sampling on. Rows in `results/nested.jsonl`: ESS of the
plain weights as a share of the draws over datasets, share with k-hat < 0.7, verdicts; wall and CPU milliseconds per
dataset of a second `infer_each`; wall and CPU seconds of the first answer, from the import on, which is not counted.
What is to be reached stands in `nested_cases.py`, and is printed beside. A case that fails or takes longer than
`--seconds` has a row that says so. `--nuts`: 4 chains of 500 + 1000 steps on the first dataset, vectorised, effects in
units of their sds, the first time and again; its smallest bulk ESS over latents, in `results/nested_nuts.jsonl`.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from metrics import summary
from nested_cases import CASES, Case
from nuts import make_sampler, non_centred, run_nuts
from rows import append, commit, read

import posterity

NAME, NUTS = "nested", "nested_nuts"
NUM_DRAWS, NUTS_STEPS = 1000, (500, 1000)
NUTS_CASES = (
    "normal_intercepts_8x8_centred",
    "normal_intercepts_30x10_centred",
    "slopes_centred",
    "crossed_three",
    "logistic_intercepts_12x8_centred",
    "poisson_intercepts_12x8_noncentred",
    "student_t",
    "softmax",
    "item_response",
    "meta_analysis",
    "process_marginal",
    "garch",
    "local_level",
)


def ess_share(posterior: posterity.Posterior) -> float:
    """Effective share of the draws of q by their plain weights; 0 where they cannot be used or there are none."""
    ratios = np.asarray(posterior.log_joint - posterior.log_q, np.float64)
    if ratios.size == 0 or np.isnan(ratios).any() or not np.isfinite(ratios.max()):
        return 0.0
    weights = np.exp(ratios - ratios.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / weights.size)


def clock() -> tuple[float, float]:
    """Wall and CPU seconds."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> list[float]:
    """Wall and CPU seconds that went by."""
    return [now - then for now, then in zip(clock(), started, strict=True)]


def answer(name: str, number: int) -> dict[str, Any]:
    """Answers the datasets of a case in this process."""
    case = CASES[name]
    datasets = [case.simulate(seed) for seed in range(number)]
    started = clock()
    estimator = posterity.informed(case.model, like=datasets[0])
    estimator.infer(datasets[0], num_draws=NUM_DRAWS, refine_seconds=0)
    first = since(started)
    estimator.infer_each(datasets, num_draws=NUM_DRAWS, refine_seconds=0)  # compiles
    started = clock()
    posteriors = estimator.infer_each(datasets, num_draws=NUM_DRAWS, refine_seconds=0)
    each = [1e3 * seconds / number for seconds in since(started)]
    reasons = collections.Counter(reason for posterior in posteriors for reason in posterior.reasons)
    shares = [ess_share(posterior) for posterior in posteriors]
    return {
        "latents": estimator.model.space.size,
        "structure": estimator.record["informed"],
        "ess": summary(np.array(shares)),
        "ess_each": [round(share, 4) for share in shares],
        "healthy": float(np.mean([posterior.pareto_k < 0.7 for posterior in posteriors])),
        "verdicts": dict(collections.Counter(posterior.verdict for posterior in posteriors)),
        "reasons": [reason for reason, _ in reasons.most_common(3)],
        "milliseconds": each[0],
        "cpu_milliseconds": each[1],
        "first_seconds": first[0],
        "first_cpu_seconds": first[1],
    }


def in_a_process(name: str, number: int, seconds: float) -> dict[str, Any]:
    """What `answer` gives in a process with an empty cache of programs, or why there is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        program = f"import json, nested; json.dump(nested.answer({name!r}, {number}), open({str(path)!r}, 'w'))"
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "POSTERITY_CACHE": f"{folder}/programs"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"no answer within {seconds:.0f} s"}
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:500]}
        return json.loads(path.read_text())


def shortfalls(case: Case, row: dict[str, Any]) -> list[str]:
    """Where a row falls short of what is to be reached."""
    if "failed" in row:
        return ["failed"]
    (median, low), found = case.ess, []
    if row["ess"]["median"] < median:
        found.append(f"ESS {row['ess']['median']:.3f} < {median:.3f}")
    if row["ess"]["q05"] < low:
        found.append(f"5% of ESS {row['ess']['q05']:.3f} < {low:.3f}")
    if row["milliseconds"] > case.milliseconds:
        found.append(f"{row['milliseconds']:.0f} ms > {case.milliseconds:.0f} ms")
    return found


def measure(name: str, number: int, seconds: float) -> None:
    """One case, as one row."""
    case = CASES[name]
    row = {"case": name, "title": case.title, "datasets": number, "draws": NUM_DRAWS}
    row |= in_a_process(name, number, seconds)
    short = shortfalls(case, row)
    append(NAME, row)
    told = row.get("failed") or (
        f"ESS {row['ess']['median']:.3f} ({row['ess']['q05']:.3f}), k-hat healthy {row['healthy']:.2f}, "
        f"{row['verdicts']}, {row['milliseconds']:.1f} ms ({row['cpu_milliseconds']:.1f}), "
        f"first {row['first_seconds']:.1f} s ({row['first_cpu_seconds']:.1f})"
    )
    print(f"{name}: {told}{'; SHORT: ' + ', '.join(short) if short else ''}", flush=True)


def measure_nuts(name: str, steps: tuple[int, int]) -> None:
    """NUTS on the first dataset of a case, the first time and again, as one row."""
    case, row = CASES[name], {"case": name, "title": CASES[name].title, "steps": steps}
    sampler = make_sampler(non_centred(case.model, case.centred), *steps)
    for way, seed in (("first", 0), ("warm", 1)):
        chains = run_nuts(sampler, case.simulate(0), seed=seed)
        row[way] = {**chains.gates, "seconds": chains.seconds[0], "cpu_seconds": chains.seconds[1]}
    append(NUTS, row)
    told = {way: f"{row[way]['bulk_ess'] / row[way]['seconds']:.0f} a second" for way in ("first", "warm")}
    print(f"{name} NUTS: {told}, {row['warm']}", flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=f"cases, separated by commas: {', '.join(CASES)}")
    parser.add_argument("--datasets", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1200.0, help="most time of a case")
    parser.add_argument("--nuts", action="store_true", help="NUTS instead, on the first dataset")
    parser.add_argument("--steps", type=int, help="of NUTS, kept and of warm-up: to see that it runs")
    options = parser.parse_args()
    done = {
        row["case"]
        for row in read(NUTS if options.nuts else NAME)
        if row["commit"] == commit() and (options.nuts or row["datasets"] >= options.datasets)
    }
    named = options.case.split(",") if options.case else []
    for name in named or [case for case in (NUTS_CASES if options.nuts else CASES) if case not in done]:
        if options.nuts:
            measure_nuts(name, (options.steps, options.steps) if options.steps else NUTS_STEPS)
        else:
            measure(name, options.datasets, options.seconds)


if __name__ == "__main__":
    main()
