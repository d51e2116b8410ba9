"""From how many latents on an arrow is worth its while: CPU milliseconds of one answer, dense and as an arrow.

    python benchmarks/arrow_threshold.py
    python benchmarks/arrow_threshold.py --groups 64,128 --family logistic

Groups of ten rows with random intercepts and a covariate, logistic or normal. Each answer (1,000 draws, one dataset, no
sampling on) is the second of a process of its own, in which arrows begin at 0 latents or nowhere. Rows go to
`results/arrow_threshold.jsonl`. `FEWEST_LATENTS` of `read/arrows` is where arrows begin: not below the sizes at which
they win here, and above those of the cases in `nested_cases.py`, whose answers stay as they were.
"""

import argparse
import subprocess
import sys
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from rows import append

SIZES, PER_GROUP = (32, 64, 128, 256), 10
FAMILIES = ("logistic", "normal")


def logistic(x: Any, group: Any, y: Any = None, *, num_groups: int) -> None:
    """Log odds with an intercept for each group."""
    numpyro.sample("y", dist.Bernoulli(logits=_mean(x, group, num_groups)), obs=y)


def normal(x: Any, group: Any, y: Any = None, *, num_groups: int) -> None:
    """Means with an intercept for each group."""
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(_mean(x, group, num_groups), sigma), obs=y)


def _mean(x: Any, group: Any, num_groups: int) -> Any:
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("groups", num_groups):
        intercept = numpyro.sample("intercept", dist.Normal(0.0, spread))
    return b[0] + b[1] * jnp.asarray(x) + intercept[group]


def simulated(family: str, num_groups: int) -> dict[str, Any]:
    """One dataset."""
    rng = np.random.default_rng(0)
    group, x = np.repeat(np.arange(num_groups), PER_GROUP), rng.normal(size=PER_GROUP * num_groups)
    mean = 0.3 + 0.5 * x + 0.7 * rng.normal(size=num_groups)[group]
    y = rng.normal(mean) if family == "normal" else (rng.uniform(size=len(x)) < 1.0 / (1.0 + np.exp(-mean))).astype(int)
    return {"x": x, "group": group, "y": y, "num_groups": num_groups}


def measure(family: str, num_groups: int, road: str) -> None:
    """Answers twice, and appends a row of the second answer."""
    import posterity
    from posterity.informed_posterior.read import arrows

    arrows.FEWEST_LATENTS = 0 if road == "arrow" else sys.maxsize
    data, model = simulated(family, num_groups), {"logistic": logistic, "normal": normal}[family]
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        post = posterity.infer(model, data, num_draws=1_000, refine_seconds=0.0)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    row = {"family": family, "groups": num_groups, "road": road, "ess": float(post.ess), "verdict": post.verdict}
    row |= {"milliseconds": round(1e3 * seconds), "cpu_milliseconds": round(1e3 * cpu_seconds)}
    append("arrow_threshold", row)
    print(row, flush=True)


def main() -> None:
    """Runs what is asked for, each answer in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default=",".join(map(str, SIZES)))
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--road", choices=("dense", "arrow"), help="of one size and family, in this process")
    options = parser.parse_args()
    sizes = [int(size) for size in options.groups.split(",")]
    if options.road:
        measure(options.family, sizes[0], options.road)
        return
    for family in [options.family] if options.family else FAMILIES:
        for size in sizes:
            for road in ("dense", "arrow"):
                named = ["--family", family, "--groups", str(size), "--road", road]
                subprocess.run([sys.executable, __file__, *named], check=True)


if __name__ == "__main__":
    main()
