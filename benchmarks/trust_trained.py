"""Can a trained estimator's answers be trusted, however badly it was trained? Posteriors are known on a grid.

    python benchmarks/trust_trained.py                       # 5 models, 3 families, 2 objectives, 4 stages of training
    python benchmarks/trust_trained.py --only "two means,flow" --datasets 20

Each network is stopped after 1, 5, 30 and 100% of its steps (a run of its own each, since the learning rate falls with
the budget), and answers datasets of the model's own joint (for `camps`, with half of the rows moved away) with 1000
draws, without sampling on. Accepted and wrong: `corrected`, but a mean is off by more than 0.25 sd or an sd by 25%,
against sums over a grid. Models have one to three latents, so that the grid is as good as exact; four of them may have
several modes. Rows go to `results/trust_trained.jsonl`; those done at this commit are skipped.
"""

import argparse
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from rows import append, commit, read

import posterity
from posterity.runtime.compile import jit
from posterity.runtime.threads import one_blas_thread

NAME = "trust_trained"
STAGES = (0.01, 0.05, 0.3, 1.0)
FAMILIES, OBJECTIVES = ("diagonal", "full", "flow"), ("forward", "reverse")
ROWS, NUM_DRAWS = 20, 1000
WORST_GAP, WORST_RATIO = 0.25, 1.25


def means_of(number):
    """A mixture of exchangeable components with known sds."""

    def model(size=ROWS, x=None):
        mu = numpyro.sample("mu", dist.Normal(0.0, 2.0).expand([number]).to_event(1))
        weights = dist.Categorical(probs=jnp.full(number, 1.0 / number))
        with numpyro.plate("observations", size if x is None else x.shape[0]):
            numpyro.sample("x", dist.MixtureSameFamily(weights, dist.Normal(mu, 0.5)), obs=x)

    return model


def camps(size=ROWS, x=None):
    """A location with heavy tails: two camps of rows make two modes."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0).expand([1]).to_event(1))
    with numpyro.plate("observations", size if x is None else x.shape[0]):
        numpyro.sample("x", dist.StudentT(2.0, mu[0], 0.3), obs=x)


def squared(size=ROWS, x=None):
    """A sum of one latent and another's square: a curved ridge with two halves."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("observations", size if x is None else x.shape[0]):
        numpyro.sample("x", dist.Normal(mu[0] + mu[1] ** 2, 0.7), obs=x)


def scales(size=ROWS, x=None):
    """Location and log sd: one mode, correlated little."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("observations", size if x is None else x.shape[0]):
        numpyro.sample("x", dist.Normal(mu[0], jnp.exp(mu[1])), obs=x)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and the grid that holds its posteriors.

    Attributes:
        model: Its only latent is the vector `mu`.
        half_width: The grid reaches from minus to plus this.
        points: Along each axis.
        latents: Length of `mu`.
        steps: Of a whole training.
    """

    model: Callable
    half_width: float
    points: int
    latents: int
    steps: int


CASES = {
    "two means": Case(means_of(2), 8.0, 400, 2, 1000),
    "three means": Case(means_of(3), 8.0, 120, 3, 1000),
    "camps": Case(camps, 25.0, 8000, 1, 600),
    "squared": Case(squared, 5.0, 500, 2, 1000),
    "scales": Case(scales, 5.0, 500, 2, 600),
}


def datasets_of(case, number):
    """Datasets of the model's own joint; those of camps have two of them."""
    found = []
    for seed in range(number):
        values = numpyro.handlers.trace(numpyro.handlers.seed(case.model, random.key(10_000 + seed))).get_trace()
        x = np.asarray(values["x"]["value"], np.float32)
        if case.latents == 1:
            x = np.where(np.arange(ROWS) < ROWS // 2, x, x + np.float32(3.0 + seed % 5))
        found.append({"x": x})
    return found


def exact_moments(case, datasets):
    """Mean and sd of every latent, `(latent,)` each, by sums over the grid."""
    axis = np.linspace(-case.half_width, case.half_width, case.points, dtype=np.float32)
    flat = np.stack([part.ravel() for part in np.meshgrid(*([axis] * case.latents), indexing="ij")], axis=1)

    @jit
    def log_joint(x):
        def one(mu):
            return numpyro.infer.util.log_density(case.model, (), {"x": x}, {"mu": mu})[0]

        return jax.lax.map(one, jnp.asarray(flat), batch_size=50_000)

    found = []
    for dataset in datasets:
        weights = np.asarray(log_joint(dataset["x"]), float)
        weights = np.exp(weights - weights.max())
        weights /= weights.sum()
        mean = weights @ flat
        found.append((mean, np.sqrt(weights @ np.square(flat - mean))))
    return found


def is_wrong(posterior, exact):
    """Whether an answer misses a mean or an sd."""
    draws, log_weights = posterior.weighted
    weights = np.full(len(draws["mu"]), 1.0 / len(draws["mu"])) if log_weights is None else np.exp(log_weights)
    mean = weights @ draws["mu"]
    sd = np.sqrt(weights @ np.square(draws["mu"] - mean))
    gap = np.max(np.abs(mean - exact[0]) / exact[1])
    return bool(gap > WORST_GAP or np.max(np.exp(np.abs(np.log(sd / exact[1])))) > WORST_RATIO)


def run(name, family, objective, stage, datasets, exact):
    """Verdicts of one network."""
    case = CASES[name]
    estimator = posterity.train(
        case.model, datasets[0], rows=(ROWS, ROWS), steps=max(1, round(stage * case.steps)), encoder="deep_sets",
        family=family, objective=objective,
    )  # fmt: skip
    posteriors = estimator.infer_each(datasets, num_draws=NUM_DRAWS, refine_seconds=0)
    accepted = [posterior.verdict == "corrected" for posterior in posteriors]
    wrong = [
        ok and is_wrong(posterior, known) for ok, posterior, known in zip(accepted, posteriors, exact, strict=True)
    ]
    return {
        "case": name, "family": family, "objective": objective, "stage": stage, "datasets": len(datasets),
        "accepted": sum(accepted), "accepted_and_wrong": sum(wrong), "wrong": np.flatnonzero(wrong).tolist(),
        "ess": float(np.median([posterior.ess / posterior.num_weighed for posterior in posteriors])),
    }  # fmt: skip


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--datasets", type=int, default=100)
    options = parser.parse_args()
    keys = ("case", "family", "objective", "stage")
    done = {tuple(row[key] for key in keys) for row in read(NAME) if row["commit"] == commit()}
    with one_blas_thread():
        for name, case in CASES.items():
            networks = [
                (name, family, objective, stage) for family in FAMILIES for objective in OBJECTIVES for stage in STAGES
                if options.only in f"{name},{family},{objective},{stage}"
            ]  # fmt: skip
            if not (networks := [network for network in networks if network not in done]):
                continue
            datasets = datasets_of(case, options.datasets)
            exact = exact_moments(case, datasets)
            for network in networks:
                row = run(*network, datasets, exact)
                append(NAME, row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
