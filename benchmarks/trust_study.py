"""How far verdicts can be trusted: inside and outside the envelope, against long NUTS.

    python benchmarks/trust_study.py             # 20 cells of 100 datasets; skips the cells that have a row
    python benchmarks/trust_study.py --only "shifted, logistic" --datasets 20

Inside: datasets from the model's own joint, N(0, 1) covariates. Outside: covariates with mean 2 and sd 3, outliers
among the targets, another likelihood than the model's, more rows than any that was trained on. Every dataset is
answered (1000 draws, at most 30 s to refine) and held against NUTS (4 chains of 1000 + 1500 steps, vmapped over 25
datasets). Accepted falsely means `corrected` or `refined` with a latent's mean off by more than 0.25 sd or an sd off by
25%; where NUTS has a rank R-hat above 1.01, the dataset is counted, but not held against the posterior. Seconds leave
compilation out. Rows go to `results/trust_study.jsonl`.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from informed_models import complementary_log_log, negative_binomial, poisson, probit, student_t
from jax import random, vmap
from metrics import moments
from numpyro.infer import MCMC, NUTS
from rows import append, read

import posterity
from posterity.runtime.compile import jit
from posterity.runtime.threads import one_blas_thread

NAME = "trust_study"
linear_regression, logistic_regression = (
    posterity.MODELS[name].model for name in ("linear_regression", "logistic_regression")
)
TOGETHER = 25
WARMUP, STEPS, CHAINS = 1000, 1500, 4
WORST_GAP, WORST_RATIO = 0.25, 1.25

Change = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Cell:
    """Datasets of one kind.

    Attributes:
        place: `inside` or `outside`.
        kind: What is unusual about them.
        model: What is inferred.
        rows: Rows.
        columns: Columns.
        source: The model that the data come from.
        covariates: Changes them before data are made.
        targets: Changes the data afterwards.
    """

    place: str
    kind: str
    model: Callable
    rows: int
    columns: int
    source: Callable | None = None
    covariates: Change | None = None
    targets: Change | None = None

    @property
    def name(self):
        """Kind, model and size."""
        return f"{self.kind}, {self.model.__name__.removesuffix('_regression')}, {self.rows} x {self.columns}"


def shifted(_, x):
    """Covariates far from z-scores."""
    return 2.0 + 3.0 * x


def far_out(rng, y):
    """A twentieth of the targets moved by 20 sds."""
    return y + 20.0 * np.std(y) * (rng.random(y.shape) < 0.05) * rng.choice([-1.0, 1.0], y.shape)


def many_times(rng, y):
    """A twentieth of the counts times 50."""
    return np.where(rng.random(y.shape) < 0.05, 50.0 * y, y)


def cauchy_regression(x, y=None):
    """Noise without a variance."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Cauchy(x @ w, 0.5), obs=y)


def waves(x, y=None):
    """Classes that depend on the covariates, but not through a linear predictor."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=4.0 * jnp.sin(2.0 * (x @ w))), obs=y)


CELLS = (
    Cell("inside", "own joint", logistic_regression, 32, 5),
    Cell("inside", "own joint", logistic_regression, 128, 10),
    Cell("inside", "own joint", linear_regression, 32, 5),
    Cell("inside", "own joint", linear_regression, 128, 10),
    Cell("inside", "own joint", poisson, 32, 5),
    Cell("inside", "own joint", poisson, 128, 2),
    Cell("inside", "own joint", negative_binomial, 64, 5),
    Cell("inside", "own joint", student_t, 64, 5),
    Cell("inside", "own joint, held out", probit, 64, 5),
    Cell("inside", "own joint, held out", complementary_log_log, 64, 5),
    Cell("outside", "shifted", logistic_regression, 64, 5, covariates=shifted),
    Cell("outside", "shifted", linear_regression, 64, 5, covariates=shifted),
    Cell("outside", "shifted", student_t, 64, 5, covariates=shifted),
    Cell("outside", "outliers", linear_regression, 64, 5, targets=far_out),
    Cell("outside", "outliers", student_t, 64, 5, targets=far_out),
    Cell("outside", "outliers", poisson, 64, 5, targets=many_times),
    Cell("outside", "Cauchy noise", linear_regression, 64, 5, source=cauchy_regression),
    Cell("outside", "overdispersed", poisson, 64, 5, source=negative_binomial),
    Cell("outside", "waves", logistic_regression, 64, 5, source=waves),
    Cell("outside", "more rows", logistic_regression, 2048, 5),
)


def make_datasets(cell, number):
    """Datasets of a cell, one key each."""
    source = cell.source or cell.model

    def one(key, x):
        seeded = numpyro.handlers.seed(source, key)
        return numpyro.handlers.trace(seeded).get_trace(x)["y"]["value"]

    found = []
    for i in range(number):
        rng = np.random.default_rng(i)
        x = rng.normal(size=(cell.rows, cell.columns)).astype(np.float32)
        x = x if cell.covariates is None else cell.covariates(rng, x).astype(np.float32)
        y = np.asarray(one(random.key(i), x), np.float32)
        y = y if cell.targets is None else cell.targets(rng, y).astype(np.float32)
        found.append({"x": x, "y": y})
    return found


def run_cell(cell, number):
    """Verdicts, errors and times of one cell."""
    datasets = make_datasets(cell, number)
    estimator = posterity.informed(cell.model, datasets[0], check=False)
    estimator.infer_each(datasets, refine_seconds=0.0)  # compiles
    started = time.perf_counter()
    estimator.infer_each(datasets, refine_seconds=0.0)
    weighing = (time.perf_counter() - started) / number
    posteriors = estimator.infer_each(datasets)
    references, nuts_seconds = by_nuts(cell.model, datasets)
    counts, false, compared = dict.fromkeys(("corrected", "refined", "untrusted"), 0), [], 0
    for i, (posterior, reference) in enumerate(zip(posteriors, references, strict=True)):
        counts[posterior.verdict] += 1
        if reference["r_hat"] > 1.01 or posterior.verdict == "untrusted":
            continue
        compared += 1
        gap, ratio = distance(posterior, reference["draws"])
        if gap > WORST_GAP or ratio > WORST_RATIO:
            false.append({"dataset": i, "verdict": posterior.verdict, "gap": gap, "ratio": ratio})
            print(f"  false: {false[-1]}", flush=True)
    spent = [found.refinement.seconds for found in posteriors if found.refinement is not None]
    row = {
        "cell": cell.name, "place": cell.place, "datasets": number, **counts, "compared": compared, "false": false,
        "references_without": sum(r["r_hat"] > 1.01 for r in references), "weighing_seconds": weighing,
        "refining_seconds": sum(spent), "refined_tries": len(spent), "nuts_seconds": nuts_seconds,
    }  # fmt: skip
    append(NAME, row)
    print(row, flush=True)


def distance(posterior, reference):
    """Largest gap of means in sds of the reference, and largest ratio of sds, either way."""
    draws, log_weights = posterior.weighted
    gaps, ratios = [], []
    for site, values in draws.items():
        mean, sd = moments(values, log_weights)
        exact_mean, exact_sd = moments(np.reshape(reference[site], (CHAINS * STEPS, *mean.shape)))
        gaps.append(np.max(np.abs(mean - exact_mean) / exact_sd))
        ratios.append(np.max(np.exp(np.abs(np.log(sd / exact_sd)))))
    return float(max(gaps)), float(max(ratios))


def by_nuts(model, datasets):
    """Draws and largest rank R-hat for each dataset; seconds of all."""
    from arviz_stats.base.array import array_stats

    def one(key, values):
        kernel = NUTS(model, target_accept_prob=0.9)
        sampler = MCMC(kernel, num_warmup=WARMUP, num_samples=STEPS, progress_bar=False)
        sampler.run(key, **values)
        return sampler.get_samples()

    chains = vmap(one, in_axes=(0, None))
    program, found, seconds = None, [], 0.0
    for first in range(0, len(datasets), TOGETHER):
        chosen = datasets[first : first + TOGETHER]
        values = {name: jnp.stack([dataset[name] for dataset in chosen]) for name in chosen[0]}
        keys = random.split(random.key(first), (len(chosen), CHAINS))
        if program is None or len(chosen) != TOGETHER:
            program = jit(vmap(chains)).lower(keys, values).compile()
        started = time.perf_counter()
        draws = jax.tree.map(np.asarray, program(keys, values))
        seconds += time.perf_counter() - started
        for i in range(len(chosen)):
            own = {site: leaf[i] for site, leaf in draws.items()}
            flat = np.concatenate([leaf.reshape(CHAINS, STEPS, -1) for leaf in own.values()], axis=2)
            r_hat = float(np.max(array_stats.rhat(flat.astype(float), chain_axis=0, draw_axis=1)))
            found.append({"draws": own, "r_hat": r_hat})
    return found, seconds


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    parser.add_argument("--datasets", type=int, default=100)
    options = parser.parse_args()
    done = {row["cell"] for row in read(NAME)}
    with one_blas_thread():
        for cell in CELLS:
            if options.only in cell.name and cell.name not in done:
                run_cell(cell, options.datasets)


if __name__ == "__main__":
    main()
