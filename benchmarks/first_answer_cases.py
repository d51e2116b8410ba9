"""Models and data of `first_answer.py`, and what its child processes run.

A child imports this module, and with it what a user of either way imports: NumPyro and NumPy here, Posterity where it
answers. Models are written as a user would write them; data are made of a seed.
"""

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random

__all__ = ["CASES", "Case", "by_command", "by_nuts", "by_posterity", "write_table"]

Dataset = Mapping[str, np.ndarray]
CUTPOINTS = np.array([-1.0, 0.5, 2.0])
ROWS_OF_MANY = (5, 8, 12, 17, 25, 33, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 750, 1000, 1500, 2500,
                4000, 5000)  # fmt: skip


def linear(x, y=None):
    """Linear regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, sigma), obs=y)


def logistic(x, y=None):
    """Logistic regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=x @ w + b), obs=y)


def poisson(x, y=None):
    """Poisson regression."""
    w = numpyro.sample("w", dist.Normal(0.0, 0.5).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(x @ w + b)), obs=y)


def negative_binomial(x, y=None):
    """Negative binomial regression with unknown dispersion."""
    w = numpyro.sample("w", dist.Normal(0.0, 0.5).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    concentration = numpyro.sample("concentration", dist.LogNormal(0.5, 0.7))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(x @ w + b), concentration), obs=y)


def student_t(x, y=None):
    """Linear regression with heavy tails."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.StudentT(4.0, x @ w + b, sigma), obs=y)


def beta(x, y=None):
    """Beta regression with unknown concentration."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    phi = numpyro.sample("phi", dist.LogNormal(2.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.BetaProportion(1 / (1 + jnp.exp(-(x @ w + b))), phi), obs=y)


def ordinal(x, y=None):
    """Ordinal regression, four levels, cutpoints given."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.OrderedLogistic(x @ w, CUTPOINTS), obs=y)


def weibull(x, censored, y=None):
    """Weibull survival regression; where `censored` is 1, the event came later than `y`."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    shape = numpyro.sample("shape", dist.LogNormal(0.0, 0.5))
    with numpyro.plate("rows", x.shape[0]):
        event = dist.Weibull(jnp.exp(x @ w + b), shape)
        numpyro.sample("y", dist.RightCensoredDistribution(event, censored), obs=y)


def eight_schools(school, sigma, y=None):
    """Eight schools, written in deviations from the common mean."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        z: Any = numpyro.sample("z", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", school.shape[0]):
        numpyro.sample("y", dist.Normal(mu + tau * z[school], sigma), obs=y)


def mixture(y):
    """Mixture of three Gaussians with means in order, unknown weights and one unknown sd."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(3)))
    prior = dist.Normal(jnp.zeros(3), 5.0).to_event(1)
    means = numpyro.sample("means", dist.TransformedDistribution(prior, dist.transforms.OrderedTransform()))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", y.shape[0]):
        components = dist.Normal(means, sigma)
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(probs=weights), components), obs=y)


def softmax(x, y=None):
    """Softmax regression, three classes, all weights free."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1], 3]).to_event(2))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits(x @ w + b), obs=y)


def random_intercepts(x, group, y=None):
    """Linear regression with an intercept for each of twelve groups around a common one."""
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 12):
        a: Any = numpyro.sample("a", dist.Normal(mu, tau))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + a[group], sigma), obs=y)


def regression_data(draw: Callable[[np.random.Generator, np.ndarray], np.ndarray], num_rows: int = 100) -> Dataset:
    """Three normal covariates, and a target drawn given the linear predictor.

    Args:
        draw: Generator and linear predictor -> target.
        num_rows: Rows.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 3))
    return {"x": x.astype(np.float32), "y": draw(rng, x @ [0.8, -0.5, 0.3] + 0.4)}


def real(values: np.ndarray) -> np.ndarray:
    """As 32-bit floats."""
    return values.astype(np.float32)


def whole(values: np.ndarray) -> np.ndarray:
    """As 32-bit integers."""
    return values.astype(np.int32)


def linear_data(num_rows: int = 100) -> Dataset:
    """Normal noise of sd 0.7."""
    return regression_data(lambda rng, eta: real(eta + 0.7 * rng.normal(size=eta.shape)), num_rows)


def logistic_data() -> Dataset:
    """Zeros and ones."""
    return regression_data(lambda rng, eta: whole(rng.random(eta.shape) < 1 / (1 + np.exp(-eta))))


def poisson_data() -> Dataset:
    """Counts."""
    return regression_data(lambda rng, eta: whole(rng.poisson(np.exp(eta))))


def negative_binomial_data() -> Dataset:
    """Counts with concentration 2."""
    return regression_data(lambda rng, eta: whole(rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, eta.shape))))


def student_t_data() -> Dataset:
    """Noise of 4 degrees of freedom."""
    return regression_data(lambda rng, eta: real(eta + 0.7 * rng.standard_t(4.0, eta.shape)))


def beta_data() -> Dataset:
    """Shares with concentration 8."""

    def draw(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
        mean = 1 / (1 + np.exp(-eta))
        return real(np.clip(rng.beta(8 * mean, 8 * (1 - mean)), 1e-4, 1 - 1e-4))

    return regression_data(draw)


def ordinal_data() -> Dataset:
    """Levels 0 to 3."""
    return regression_data(
        lambda rng, eta: whole((eta + rng.logistic(size=eta.shape))[:, None] > CUTPOINTS).sum(1, dtype=np.int32)
    )


def weibull_data() -> Dataset:
    """Times with shape 1.5, a third of them cut off."""
    found = regression_data(lambda rng, eta: real(np.exp(eta) * rng.weibull(1.5, eta.shape)))
    end = np.quantile(found["y"], 0.67)
    return {"x": found["x"], "censored": whole(found["y"] > end), "y": np.minimum(found["y"], end)}


def eight_schools_data() -> Dataset:
    """Effects and standard errors of Rubin (1981)."""
    return {
        "school": np.arange(8, dtype=np.int32),
        "sigma": np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32),
        "y": np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32),
    }


def mixture_data() -> Dataset:
    """Three groups of 0.3, 0.5 and 0.2 of the rows."""
    rng = np.random.default_rng(0)
    group = rng.choice(3, 150, p=[0.3, 0.5, 0.2])
    return {"y": real(np.array([-3.0, 0.5, 4.0])[group] + 0.8 * rng.normal(size=150))}


def softmax_data() -> Dataset:
    """Classes 0 to 2."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    logits = x @ rng.normal(size=(3, 3)) + rng.gumbel(size=(150, 3))
    return {"x": real(x), "y": whole(logits.argmax(axis=1))}


def random_intercepts_data() -> Dataset:
    """Twelve groups of ten rows."""
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=(120, 3)), np.repeat(np.arange(12), 10)
    intercepts = 0.4 + 0.7 * rng.normal(size=12)
    y = x @ [0.8, -0.5, 0.3] + intercepts[group] + 0.6 * rng.normal(size=120)
    return {"x": real(x), "group": whole(group), "y": real(y)}


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        title: What it is, in words.
        model: The model; the last one is timed.
        datasets: Makes the data of `model`, one or many.
        command: Name of the built-in model that the command answers from a CSV; `model` is the same one, for NUTS.
        before: A case that is answered first, in the same process and not timed.
    """

    title: str
    model: Callable[..., None]
    datasets: Callable[[], Sequence[Dataset]]
    command: str | None = None
    before: str | None = None


def one(make: Callable[[], Dataset]) -> Callable[[], Sequence[Dataset]]:
    """One dataset as a sequence."""
    return lambda: [make()]


CASES = {
    "linear_csv": Case(
        "built-in linear regression, CSV, command line", linear, one(linear_data), command="linear_regression"
    ),
    "logistic_csv": Case(
        "built-in logistic regression, CSV, command line", logistic, one(logistic_data), command="logistic_regression"
    ),
    "linear": Case("linear regression", linear, one(linear_data)),
    "logistic": Case("logistic regression", logistic, one(logistic_data)),
    "poisson": Case("Poisson regression", poisson, one(poisson_data)),
    "negative_binomial": Case("negative binomial regression", negative_binomial, one(negative_binomial_data)),
    "student_t": Case("Student-t regression", student_t, one(student_t_data)),
    "beta": Case("beta regression", beta, one(beta_data)),
    "ordinal": Case("ordinal regression, cutpoints given", ordinal, one(ordinal_data)),
    "weibull": Case("Weibull regression, right-censored", weibull, one(weibull_data)),
    "eight_schools": Case("eight schools", eight_schools, one(eight_schools_data)),
    "mixture": Case("mixture of three Gaussians", mixture, one(mixture_data)),
    "softmax": Case("softmax regression", softmax, one(softmax_data)),
    "random_intercepts": Case("random intercepts, 12 groups", random_intercepts, one(random_intercepts_data)),
    "many": Case(
        "24 datasets of 5 to 5,000 rows, linear regression", linear, lambda: [linear_data(n) for n in ROWS_OF_MANY]
    ),
    "second_model": Case(
        "logistic regression after Poisson regression of the same shapes, one process",
        logistic,
        one(logistic_data),
        before="poisson",
    ),
}


def standardized(dataset: Dataset) -> Dataset:
    """Z-scores of the columns, and of a real target, which built-in models are defined on."""
    scored = {name: values for name, values in dataset.items() if values.dtype == np.float32}
    return dict(dataset) | {name: (v - v.mean(axis=0)) / v.std(axis=0) for name, v in scored.items()}


def write_table(name: str, path: Path) -> None:
    """The data of a case as a CSV with columns a, b, c and y."""
    (dataset,) = CASES[name].datasets()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "y"])
        writer.writerows([*x, y] for x, y in zip(dataset["x"].tolist(), dataset["y"].tolist(), strict=True))


def by_site(latents: Mapping[str, Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Latent site -> mean and sd of each of its entries, from a label such as `w[0]` -> statistics."""
    found: dict[str, list[list[float]]] = {}
    for label, statistics in latents.items():
        found.setdefault(label.partition("[")[0], []).append([statistics["mean"], statistics["sd"]])
    return found


def by_command(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Verdicts and moments in what `posterity infer --json` prints."""
    datasets = answer["datasets"]
    return {
        "verdicts": [dataset["verdict"] for dataset in datasets],
        "reasons": [reason for dataset in datasets for reason in dataset["reasons"]],
        "moments": [by_site(dataset["latents"]) for dataset in datasets],
    }


def by_posterity(name: str, path: str) -> None:
    """Answers a case by Posterity, and leaves moments, verdicts and seconds in a file."""
    import posterity

    case = CASES[name]
    if case.before is not None:
        first = CASES[case.before]
        posterity.infer(first.model, first.datasets()[0]).summary()
    started = time.perf_counter(), time.process_time()
    datasets = case.datasets()
    posteriors: list[Any]
    if len(datasets) == 1:
        posteriors = [posterity.infer(case.model, datasets[0])]
    else:
        posteriors = posterity.informed(case.model, like=datasets[-1]).infer_each(datasets)
    frames = [posterior.summary() for posterior in posteriors]
    seconds = _seconds(started)
    latents = [{line["latent"]: line for line in frame.iter_rows(named=True)} for frame in frames]
    answer = {
        "verdicts": [posterior.verdict for posterior in posteriors],
        "reasons": [reason for posterior in posteriors for reason in posterior.reasons],
        "moments": [by_site(statistics) for statistics in latents],
    }
    Path(path).write_text(json.dumps(seconds | answer))


def by_nuts(name: str, path: str, num_warmup: int, num_samples: int) -> None:
    """Answers a case by NUTS, and leaves moments and seconds in a file."""
    from numpyro.diagnostics import summary
    from numpyro.infer import MCMC, NUTS

    case = CASES[name]

    def run(model: Callable[..., None], dataset: Dataset) -> dict[str, Any]:
        sampler = MCMC(
            NUTS(model), num_warmup=num_warmup, num_samples=num_samples, num_chains=4, chain_method="vectorized",
            progress_bar=False,
        )  # fmt: skip
        sampler.run(random.key(0), **dataset)
        return summary(sampler.get_samples(group_by_chain=True))

    if case.before is not None:
        first = CASES[case.before]
        run(first.model, first.datasets()[0])
    started = time.perf_counter(), time.process_time()
    datasets = case.datasets() if case.command is None else [standardized(dataset) for dataset in case.datasets()]
    summaries = [run(case.model, dataset) for dataset in datasets]
    seconds = _seconds(started)
    moments = [
        {site: np.stack([np.ravel(of["mean"]), np.ravel(of["std"])], axis=1).tolist() for site, of in found.items()}
        for found in summaries
    ]
    worst = max(float(np.max(of["r_hat"])) for found in summaries for of in found.values())
    Path(path).write_text(json.dumps(seconds | {"r_hat": worst, "moments": moments}))


def _seconds(started: tuple[float, float]) -> dict[str, float]:
    """When the answer came, and what it took since then."""
    return {
        "answered_at": time.time(),
        "cpu_seconds": time.process_time(),
        "wall_since": time.perf_counter() - started[0],
        "cpu_since": time.process_time() - started[1],
    }
