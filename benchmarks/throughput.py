"""Effective draws per second of many datasets at once, by Posterity and by vmapped NUTS in the same run.

    python benchmarks/throughput.py                     # every case, skipping those done at this commit
    python benchmarks/throughput.py --only T1,four_arms
    python benchmarks/throughput.py --smoke

Posterity: `estimator.infer_each` of 256 datasets, 1000 draws each, corrected and judged, without sampling on, warm,
medians of five. An effective draw is one of `posterior.ess`, summed over the datasets that are corrected. NUTS: one
chain of 500 + 1000 steps for each dataset, vmapped and compiled before the clock starts, over as many datasets as are
named below; its smallest ESS over latents, summed over datasets. Cases are T1 (linear regression, noise known, 5
latents) and T2 (logistic regression, 6) of 64 rows, logistic regression of 512 rows and 20 columns and of 256 and 60,
softmax regression of 256 rows, 10 columns and 3 classes; and four arms of a trial (after Berry et al. 2013): responses
among 20 to 40 patients an arm, log odds normal around an unknown mean with unknown variance, 10,000 datasets. Rows go
to `results/throughput.jsonl`.
"""

import collections
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random, vmap
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from rows import append, measure_cases

import posterity

NAME = "throughput"
NUM_DRAWS, NUM_WARMUP = 1000, 500

Data = dict[str, np.ndarray]


def linear(x, y=None):
    """Linear regression, noise known."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, 0.5), obs=y)


def logistic(x, y=None):
    """Logistic regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=x @ w + b), obs=y)


def softmax(x, y=None):
    """Softmax regression, three classes, all weights free."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1], 3]).to_event(2))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits(x @ w + b), obs=y)


def four_arms(arm, patients, responses=None):
    """Log odds of four arms around an unknown mean with unknown variance."""
    mu = numpyro.sample("mu", dist.Normal(-1.34, 10.0))
    variance = numpyro.sample("variance", dist.InverseGamma(0.0005, 0.000005))
    with numpyro.plate("arms", 4):
        log_odds: Any = numpyro.sample("log_odds", dist.Normal(mu, jnp.sqrt(variance)))
    with numpyro.plate("rows", arm.shape[0]):
        numpyro.sample("responses", dist.Binomial(patients, logits=log_odds[arm]), obs=responses)


def regressions(number: int, num_rows: int, num_columns: int, kind: str) -> Data:
    """Datasets from the prior predictive, datasets first, covariates from N(0, 1).

    Args:
        number: Of datasets.
        num_rows: Rows of each.
        num_columns: Columns of each.
        kind: `linear`, `logistic` or `softmax`.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number, num_rows, num_columns))
    size = 3 if kind == "softmax" else 1
    eta = x @ rng.normal(size=(number, num_columns, size)) + rng.normal(size=(number, 1, size))
    if kind == "linear":
        y = (eta[..., 0] + 0.5 * rng.normal(size=eta.shape[:2])).astype(np.float32)
    elif kind == "logistic":
        y = (rng.random(eta.shape[:2]) < 1 / (1 + np.exp(-eta[..., 0]))).astype(np.int32)
    else:
        y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=-1).astype(np.int32)
    return {"x": x.astype(np.float32), "y": y}


def trials(number: int) -> Data:
    """Trials of four arms of 20 to 40 patients, true log odds around -1 with sd 0.5."""
    rng = np.random.default_rng(0)
    patients = rng.integers(20, 41, (number, 4))
    rates = 1 / (1 + np.exp(1.0 - 0.5 * rng.normal(size=(number, 4))))
    arm = np.broadcast_to(np.arange(4, dtype=np.int32), (number, 4))
    responses = rng.binomial(patients, rates).astype(np.int32)
    return {"arm": arm, "patients": patients.astype(np.int32), "responses": responses}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with what makes its datasets.

    Attributes:
        title: In words.
        model: The model.
        simulate: Number of datasets -> data, datasets first.
        datasets: How many Posterity answers at once.
        nuts_datasets: How many NUTS does.
    """

    title: str
    model: Callable[..., None]
    simulate: Callable[[int], Data]
    datasets: int = 256
    nuts_datasets: int = 256


CASES = {
    "T1": Case("T1, linear regression, 64 rows, 4 columns", linear, lambda n: regressions(n, 64, 4, "linear")),
    "T2": Case("T2, logistic regression, 64 rows, 5 columns", logistic, lambda n: regressions(n, 64, 5, "logistic")),
    "logistic_512_20": Case(
        "logistic regression, 512 rows, 20 columns",
        logistic,
        lambda n: regressions(n, 512, 20, "logistic"),
        nuts_datasets=16,
    ),
    "logistic_256_60": Case(
        "logistic regression, 256 rows, 60 columns",
        logistic,
        lambda n: regressions(n, 256, 60, "logistic"),
        nuts_datasets=16,
    ),
    "softmax": Case(
        "softmax regression, 256 rows, 10 columns, 3 classes",
        softmax,
        lambda n: regressions(n, 256, 10, "softmax"),
        nuts_datasets=16,
    ),
    "four_arms": Case("hierarchical binomial, four arms", four_arms, trials, datasets=10_000),
}


def first(data: Data, number: int) -> Data:
    """The first so many datasets."""
    return {name: values[:number] for name, values in data.items()}


def timed(call: Callable[[], Any], repeats: int) -> tuple[Any, dict[str, float]]:
    """What the last call gave, and medians of wall and CPU seconds."""
    found, wall, cpu = None, [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        found = call()
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    return found, {"seconds": statistics.median(wall), "cpu_seconds": statistics.median(cpu)}


def by_posterity(case: Case, data: Data, repeats: int) -> dict[str, Any]:
    """Times of all datasets at once, verdicts and effective draws."""
    number = len(next(iter(data.values())))
    datasets = [{name: values[i] for name, values in data.items()} for i in range(number)]
    estimator = posterity.informed(case.model, like=datasets[0])

    def answer() -> list[posterity.Posterior]:
        return estimator.infer_each(datasets, num_draws=NUM_DRAWS, refine_seconds=0)

    answer()
    posteriors, seconds = timed(answer, repeats)
    verdicts = collections.Counter(posterior.verdict for posterior in posteriors)
    ess = sum(posterior.ess for posterior in posteriors if posterior.verdict == "corrected")
    return {"datasets": number, **seconds, "ess": ess, "verdicts": dict(verdicts)}


def by_nuts(case: Case, data: Data, repeats: int) -> dict[str, Any]:
    """Times of NUTS on all datasets at once, and its effective draws."""
    number = len(next(iter(data.values())))

    def chain(key, data):
        sampler = MCMC(NUTS(case.model), num_warmup=NUM_WARMUP, num_samples=NUM_DRAWS, progress_bar=False)
        sampler.run(key, **data)
        return sampler.get_samples()

    keys = random.split(random.key(0), number)
    program = jax.jit(vmap(chain)).lower(keys, data).compile()
    found, seconds = timed(lambda: jax.block_until_ready(program(keys, data)), repeats)
    draws = np.concatenate([np.asarray(values).reshape(number, NUM_DRAWS, -1) for values in found.values()], axis=-1)
    ess = sum(float(effective_sample_size(one[None]).min()) for one in draws)
    return {"datasets": number, **seconds, "ess": ess}


def measure(name: str, repeats: int, most: int | None) -> None:
    """Both ways on one case, as one row."""
    case = CASES[name]
    data = case.simulate(min(case.datasets, most or case.datasets))
    row = {
        "case": name,
        "title": case.title,
        "draws": NUM_DRAWS,
        "repeats": repeats,
        "posterity": by_posterity(case, data, repeats),
        "nuts": by_nuts(case, first(data, min(case.nuts_datasets, most or case.nuts_datasets)), repeats),
    }
    append(NAME, row)
    print(row, flush=True)


def main() -> None:
    """Runs what the command line asks for."""

    def measured(case: str, repeats: int, is_smoke: bool) -> None:
        measure(case, repeats, 4 if is_smoke else None)

    measure_cases(NAME, CASES, measured, about=__doc__, smoke="once, four datasets")


if __name__ == "__main__":
    main()
