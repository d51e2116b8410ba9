"""Three small tasks at a fixed 64 rows, after a fixed training time, against exact posteriors and long NUTS.

    python benchmarks/tasks.py T1 --minutes 10
    python benchmarks/tasks.py T2 --minutes 10
    python benchmarks/tasks.py T3 --minutes 3

T1: linear regression, 5 parameters (4 weights and an intercept), noise variance 0.25, exact posterior.
T2: logistic regression, 6 parameters. T3: two-component Gaussian mixture in 2 dimensions, 4 parameters, 2 modes.
200 test datasets from the prior predictive; C2ST on the first 20 (a classifier takes seconds to fit), 1000 against
1000 draws, where a reference of NUTS (4 chains of 2500 after 1000 warm-up; for T3 started at the true latents, labels
swapped in half of the chains) is drawn.
Rows go to `results/tasks.jsonl`.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from metrics import c2st, gaussian_posterior_metrics, linear_posterior, summary
from numpyro.infer import MCMC, NUTS
from rows import append

import posterity
from posterity.model.dataset import Dataset
from posterity.runtime.compile import filter_jit, jit

NUM_ROWS, NUM_DATASETS, NUM_C2ST, NUM_DRAWS = 64, 200, 20, 1000
ROWS = (NUM_ROWS, NUM_ROWS)


def make_simulator(task: str) -> posterity.Simulator:
    """What simulates a task."""
    if task == "T1":
        entry = posterity.MODELS["linear_regression_known_noise"]
        return posterity.builtin_simulator(entry, ROWS, (4, 4), covariates="normal")
    if task == "T2":
        return posterity.builtin_simulator(posterity.MODELS["logistic_regression"], ROWS, (5, 5), covariates="normal")
    return posterity.builtin_simulator(posterity.MODELS["gaussian_mixture"], ROWS, (2, 2))


def make_datasets(simulator: posterity.Simulator) -> tuple[Dataset, jax.Array]:
    """The test datasets and the latents that made them."""
    masks = simulator.model.plate_masks(simulator.model.capacity)
    keys = random.split(random.key(0), NUM_DATASETS)
    return jit(vmap(lambda key: simulator.simulate(key, jnp.ones(NUM_ROWS, bool), masks)))(keys)


@filter_jit
def draws_and_ess(network, model: posterity.Model, datasets: Dataset):
    """Draws of q and the plain importance ESS as a share of them, per dataset."""

    def one(inputs):
        dataset, key = inputs
        q = network(dataset, model.space.mask(dataset.plate_masks))
        z, log_q = q.sample_and_log_prob(key, NUM_DRAWS)
        ratios = vmap(model.log_joint, in_axes=(0, None))(z, dataset) - log_q
        return z, ratios, 1.0 / jnp.sum(jax.nn.softmax(ratios) ** 2) / NUM_DRAWS

    return lax.map(one, (datasets, random.split(random.key(11), NUM_DATASETS)), batch_size=20)


@filter_jit
def exact_metrics(network, model: posterity.Model, datasets: Dataset):
    """Divergences from the closed-form posterior of T1, per dataset."""

    def one(inputs):
        dataset, key = inputs
        design = jnp.concatenate([dataset.values["x"], jnp.ones((NUM_ROWS, 1))], axis=1)
        mean, precision = linear_posterior(design, dataset.values["y"], 0.5)
        q = network(dataset, model.space.mask(dataset.plate_masks))
        return gaussian_posterior_metrics(q, mean, precision, key)

    return lax.map(one, (datasets, random.split(random.key(12), NUM_DATASETS)), batch_size=20)


def reference(model: posterity.Model, datasets: Dataset, z: jax.Array, *, swap_labels: bool) -> np.ndarray:
    """Long NUTS on the first datasets: `(NUM_C2ST, 10000, latent)` draws, all chains pooled."""

    def chains(dataset: Dataset, start: jax.Array, key: jax.Array) -> jax.Array:
        kernel = NUTS(potential_fn=lambda z: -model.log_joint(z, dataset))
        mcmc = MCMC(
            kernel,
            num_warmup=1000,
            num_samples=2500,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        starts = jnp.stack([start] * 4)
        if swap_labels:  # z is (components, dims) flattened: half of the chains start with the labels exchanged
            exchanged = jnp.flip(jnp.reshape(starts, (4, 2, -1)), axis=1).reshape(starts.shape)
            starts = jnp.where(jnp.arange(4)[:, None] % 2 == 0, starts, exchanged)
        mcmc.run(key, init_params=starts)
        return mcmc.get_samples()

    first = jax.tree.map(lambda leaf: leaf[:NUM_C2ST], datasets)
    keys = random.split(random.key(13), NUM_C2ST)
    return np.asarray(jit(lambda *a: lax.map(lambda b: chains(*b), a, batch_size=10))(first, z[:NUM_C2ST], keys))


def corrected(z: np.ndarray, ratios: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws resampled by their Pareto-smoothed weights."""
    from posterity.trust.weights import pareto_smoothed

    weights = np.exp(pareto_smoothed(np.asarray(ratios, np.float64)).log_weights)
    return z[rng.choice(len(z), size=len(z), p=weights / weights.sum())]


def run(task: str, minutes: float, architecture: posterity.Architecture, learning_rate: float, seed: int) -> None:
    """Trains on one task, rates it and appends the row."""
    simulator = make_simulator(task)
    datasets, z_true = make_datasets(simulator)
    estimator = posterity.train(
        simulator,
        architecture=architecture,
        config=posterity.TrainingConfig(minutes=minutes, seed=seed, learning_rate=learning_rate),
    )
    z, ratios, ess = draws_and_ess(estimator.network, estimator.model, datasets)
    row = {
        "task": task,
        "minutes": minutes,
        "seed": seed,
        "architecture": architecture.to_json(),
        "steps": estimator.record["training"]["step"],
        "num_params": estimator.record["num_params"],
        "ess": summary(ess),
    }
    if task == "T1":
        found = exact_metrics(estimator.network, estimator.model, datasets)
        row |= {name: summary(found[name]) for name in ("forward_kl", "reverse_kl", "sd_ratio", "mean_error")}
    else:
        started = time.perf_counter()
        exact = reference(estimator.model, datasets, z_true, swap_labels=task == "T3")
        rng = np.random.default_rng(0)
        picked = [p[rng.choice(len(p), NUM_DRAWS, replace=False)] for p in exact]
        z, ratios = np.asarray(z), np.asarray(ratios)
        row["c2st"] = summary([c2st(z[i], picked[i]) for i in range(NUM_C2ST)])
        row["c2st_corrected"] = summary([c2st(corrected(z[i], ratios[i], rng), picked[i]) for i in range(NUM_C2ST)])
        others = [p[rng.choice(len(p), NUM_DRAWS, replace=False)] for p in exact]
        row["c2st_floor"] = summary([c2st(others[i], picked[i]) for i in range(NUM_C2ST)])
        row["reference_seconds"] = time.perf_counter() - started
    append("tasks", row)
    print({key: value for key, value in row.items() if key != "architecture"}, flush=True)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("T1", "T2", "T3"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--encoder", default="deep_sets")
    parser.add_argument("--family", default=None, help="full for T1, flow for T2 and T3")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    family = options.family or ("full" if options.task == "T1" else "flow")
    architecture = posterity.Architecture(options.encoder, family)
    run(options.task, options.minutes, architecture, options.learning_rate, options.seed)


if __name__ == "__main__":
    main()
