"""Normal rows in very many groups, each with an intercept and a slope: seconds, memory, and whether it is right.

    python benchmarks/many_groups.py                       # 1,000 to 125,000 groups, four rows each on average
    python benchmarks/many_groups.py --groups 20000 --draws 400

Every size runs in a process of its own, and is answered twice: the first answer compiles. Means and sds of all effects
are compared with exact ones given the scales at their posterior means, in float64; with so many groups nothing else
matters much. A mean of `draws` independent draws is off by 1 / sqrt(draws) sds, the largest of 250,000 by 4.6 times
that. Rows go to `results/many_groups.jsonl`.
"""

import argparse
import resource
import subprocess
import sys
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from rows import append

SIZES = (1_000, 20_000, 125_000)
ROWS_PER_GROUP = 4


def model(x: Any, group: Any, y: Any = None, *, num_groups: int) -> None:
    """Intercepts and slopes by group."""
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    sd_intercept = numpyro.sample("sd_intercept", dist.HalfNormal(1.0))
    sd_slope = numpyro.sample("sd_slope", dist.HalfNormal(1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("groups", num_groups):
        intercept = numpyro.sample("intercept", dist.Normal(0.0, sd_intercept))
        slope = numpyro.sample("slope", dist.Normal(0.0, sd_slope))
    mean = b[0] + intercept[group] + (b[1] + slope[group]) * x
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(mean, sigma), obs=y)


def simulated(num_groups: int) -> dict[str, Any]:
    """Rows in no order, in groups of several sizes."""
    rng = np.random.default_rng(0)
    num_rows = ROWS_PER_GROUP * num_groups
    group, x = rng.integers(0, num_groups, num_rows), rng.normal(size=num_rows)
    intercept, slope = 0.6 * rng.normal(size=num_groups), 0.3 * rng.normal(size=num_groups)
    y = 0.5 + intercept[group] + (slope[group] - 0.2) * x + 0.8 * rng.normal(size=num_rows)
    arrays = {"x": x.astype(np.float32), "group": group.astype(np.int32), "y": y.astype(np.float32)}
    return {**arrays, "num_groups": num_groups}


def exact(data: dict[str, Any], sds: tuple[float, float], sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Means and sds of each group's intercept and slope given the scales, `(group, 2)` each; float64."""
    x, y, group, num_groups = data["x"].astype(float), data["y"].astype(float), data["group"], data["num_groups"]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, num_groups)

    columns = (np.ones_like(x), x)
    gram = np.stack([np.stack([total(a * b) for b in columns], -1) for a in columns], -2) / sigma**2  # (group, 2, 2)
    against = np.stack([total(a * y) for a in columns], -1) / sigma**2
    inverse = np.linalg.inv(gram + np.diag([sds[0] ** -2, sds[1] ** -2]))
    left = np.eye(2) + gram.sum(0) - np.einsum("gij,gjk,gkl->il", gram, inverse, gram)
    right = against.sum(0) - np.einsum("gij,gjk,gk->i", gram, inverse, against)
    covariance = np.linalg.inv(left)
    b = covariance @ right
    mean = np.einsum("gij,gj->gi", inverse, against - gram @ b)
    through = inverse @ gram
    variance = inverse + through @ covariance @ np.swapaxes(through, 1, 2)
    return mean, np.sqrt(np.diagonal(variance, axis1=1, axis2=2))


def measure(num_groups: int, draws: int) -> None:
    """Answers one dataset twice, and appends its row."""
    import posterity

    data = simulated(num_groups)
    seconds = []
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        post = posterity.infer(model, data, num_draws=draws, refine_seconds=0.0)
        seconds.append((time.perf_counter() - started, time.process_time() - cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    scales = {name: float(np.mean(post[name])) for name in ("sd_intercept", "sd_slope", "sigma")}
    means, sds = exact(data, (scales["sd_intercept"], scales["sd_slope"]), scales["sigma"])
    gaps, ratios = [], []
    for effect, name in enumerate(("intercept", "slope")):
        own = np.asarray(jnp.asarray(post[name]))
        gaps.append((own.mean(0) - means[:, effect]) / sds[:, effect])
        ratios.append(own.std(0) / sds[:, effect])
    row = {
        "groups": num_groups,
        "rows": len(data["y"]),
        "draws": draws,
        "verdict": post.verdict,
        "reasons": list(post.reasons),
        "ess": float(post.ess),
        "pareto_k": post.pareto_k,
        "first_seconds": [round(s, 2) for s in seconds[0]],
        "seconds": [round(s, 2) for s in seconds[1]],
        "peak_gib": round(peak, 2),
        "largest_mean_gap": float(np.abs(gaps).max()),
        "mean_gap": float(np.sqrt(np.mean(np.square(gaps)))),
        "sd_ratio": [float(np.mean(ratios)), float(np.min(ratios)), float(np.max(ratios))],
        "scales": scales,
    }
    append("many_groups", row)
    print(row, flush=True)


def main() -> None:
    """Runs the sizes asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, help=f"groups; {', '.join(map(str, SIZES))} if not given")
    parser.add_argument("--draws", type=int, default=400)
    options = parser.parse_args()
    if options.groups:
        measure(options.groups, options.draws)
        return
    for size in SIZES:
        subprocess.run([sys.executable, __file__, "--groups", str(size), "--draws", str(options.draws)], check=True)


if __name__ == "__main__":
    main()
