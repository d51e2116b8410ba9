"""The informed posterior on tasks T1 and T2 of `tasks.py`, at 100 features, and its speed.

    python benchmarks/informed_tasks.py T1        # linear regression, known noise, 64 rows, 5 latents: exact posterior
    python benchmarks/informed_tasks.py T2        # logistic regression, 64 rows, 6 latents: C2ST against long NUTS
    python benchmarks/informed_tasks.py wide      # linear regression with known noise, 100 features, 128 rows
    python benchmarks/informed_tasks.py speed     # milliseconds per dataset and latency, and those of NUTS
    python benchmarks/informed_tasks.py growth    # the same as rows and columns grow, one dataset at a time

Nothing is trained. Draws for the corrected C2ST are resampled without replacement, 1000 of 20,000, so that the
classifier sees no duplicates. `speed` draws, weighs and judges 1000 draws per dataset, 256 datasets over two threads;
NUTS runs beside it, vmapped over 64 of the datasets (8 at 512 rows), one chain of 500 + 1000 steps; `growth` takes 8
datasets and one thread for both. Rows go to `results/informed_tasks.jsonl`.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from metrics import c2st, gaussian_posterior_metrics, linear_posterior, summary
from numpyro.infer import MCMC, NUTS
from rows import append

import posterity
from posterity.runtime.compile import filter_jit, jit
from posterity.runtime.threads import one_blas_thread
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed_many

NAME = "informed_tasks"
NUM_DATASETS, NUM_C2ST, NUM_DRAWS = 200, 20, 1000
SPEED = (
    ("linear_regression_known_noise", 64, 4, 64),
    ("logistic_regression", 64, 5, 64),
    ("logistic_regression", 32, 5, 64),
    ("logistic_regression", 512, 20, 8),
    ("linear_regression", 64, 5, 64),
)
GROWTH = (
    *((rows, 5) for rows in (32, 128, 512, 2048)),
    *((256, columns) for columns in (2, 10, 20, 40, 60)),
)


def make(name, rows, columns):
    """Simulator and informed network at one exact size, N(0, 1) covariates."""
    sizes = (rows, rows), (columns, columns)
    simulator = posterity.builtin_simulator(posterity.MODELS[name], *sizes, covariates="normal", check=False)
    return simulator, posterity.informed(name, columns=columns).network


def simulate(simulator, rows, number):
    """Datasets from the model's joint."""
    masks = simulator.model.plate_masks(simulator.model.capacity)
    return jit(vmap(lambda key: simulator.simulate(key, jnp.ones(rows, bool), masks)))(
        random.split(random.key(0), number)
    )[0]


def against_exact(name, rows, columns, number):
    """T1 and the wide regression: divergences from the conjugate posterior."""
    simulator, network = make("linear_regression_known_noise", rows, columns)
    datasets = simulate(simulator, rows, number)
    size = columns + 1

    def one(inputs):
        dataset, key = inputs
        design = jnp.concatenate([dataset.values["x"], jnp.ones((rows, 1))], axis=1)
        mean, precision = linear_posterior(design, dataset.values["y"], 0.5)
        q = network(dataset)
        draws = q.sample(random.fold_in(key, 1), NUM_DRAWS)
        exact = mean + random.normal(key, draws.shape) @ jnp.linalg.cholesky(jnp.linalg.inv(precision)).T
        # Expected L2 distance of draws to the latents' posterior mean: ours over the exact posterior's.
        l2 = jnp.mean(jnp.linalg.norm(draws - mean, axis=1)) / jnp.mean(jnp.linalg.norm(exact - mean, axis=1))
        return {**gaussian_posterior_metrics(q, mean, precision, key, NUM_DRAWS), "l2_ratio": l2}

    keys = random.split(random.key(7), number)
    found = jit(lambda d, k: lax.map(one, (d, k)))(datasets, keys)
    symmetric = 0.5 * (found["forward_kl"] + found["reverse_kl"]) / size
    row = {key: summary(values) for key, values in {**found, "symmetric_kl_per_parameter": symmetric}.items()}
    append(NAME, {"task": name, "rows": rows, "features": columns, **row})
    print(name, {key: round(value["mean"], 6) for key, value in row.items()}, "ESS median", row["ess"]["median"])


def against_nuts(number):
    """T2: C2ST of raw and of corrected draws."""
    simulator, network = make("logistic_regression", 64, 5)
    model, datasets = simulator.model, simulate(simulator, 64, number)

    def draw(num_draws):
        def one(inputs):
            dataset, key = inputs
            z, log_q = network(dataset).sample_and_log_prob(key, num_draws)
            return z, vmap(model.log_joint, in_axes=(0, None))(z, dataset) - log_q

        return jit(lambda d, k: lax.map(one, (d, k)))

    keys, num_c2st = random.split(random.key(1), number), min(number, NUM_C2ST)
    _, ratios = draw(NUM_DRAWS)(datasets, keys)
    ess = 1.0 / jnp.sum(jax.nn.softmax(ratios, axis=1) ** 2, axis=1) / NUM_DRAWS
    few = jax.tree.map(lambda leaf: leaf[:num_c2st], datasets)
    many, many_ratios = (np.asarray(leaf) for leaf in draw(20 * NUM_DRAWS)(few, keys[:num_c2st]))
    rng = np.random.default_rng(0)
    scores = {"c2st": [], "c2st_corrected": [], "c2st_floor": []}
    for i in range(num_c2st):
        sampler = MCMC(
            NUTS(model.function), num_warmup=1000, num_samples=2500, num_chains=4, chain_method="vectorized",
            progress_bar=False,
        )  # fmt: skip
        sampler.run(random.key(i), **{k: v[i] for k, v in few.values.items()})
        found = sampler.get_samples()
        reference = np.concatenate([np.asarray(found[s.name]).reshape(10_000, -1) for s in model.space.sites], axis=1)
        chosen = rng.permutation(10_000)
        first, second = reference[chosen[:NUM_DRAWS]], reference[chosen[NUM_DRAWS : 2 * NUM_DRAWS]]
        weights = np.exp(many_ratios[i].astype(float) - many_ratios[i].max())
        corrected = many[i][rng.choice(len(weights), NUM_DRAWS, replace=False, p=weights / weights.sum())]
        scores["c2st"].append(c2st(many[i][:NUM_DRAWS], first))
        scores["c2st_corrected"].append(c2st(corrected, first))
        scores["c2st_floor"].append(c2st(second, first))
    row = {"ess": summary(ess), **{key: summary(np.array(values)) for key, values in scores.items()}}
    append(NAME, {"task": "T2", "rows": 64, "features": 5, "c2st_datasets": num_c2st, **row})
    print("T2", {key: round(value["mean"], 4) for key, value in row.items()}, "ESS median", row["ess"]["median"])


def speed(name, rows, columns, nuts_datasets):
    """Milliseconds per dataset in a batch of 256, and of one alone."""
    simulator, network = make(name, rows, columns)
    model = simulator.model
    datasets = simulate(simulator, rows, 256)

    def one(inputs):
        dataset, key = inputs
        z, log_q = network(dataset).sample_and_log_prob(key, NUM_DRAWS)
        return z, vmap(model.log_joint, in_axes=(0, None))(z, dataset) - log_q

    keys = random.split(random.key(1), 256)
    halves = [(jax.tree.map(lambda leaf: leaf[:128], datasets), keys[:128])]
    halves.append((jax.tree.map(lambda leaf: leaf[128:], datasets), keys[128:]))
    batch = jit(lambda d, k: lax.map(one, (d, k)))
    alone = filter_jit(one)
    single = (jax.tree.map(lambda leaf: leaf[0], datasets), keys[0])
    jax.block_until_ready((batch(*halves[0]), alone(single)))

    def verdicts(half):
        ratios = np.asarray(batch(*half)[1])
        return ratios, [judge(weights)[0] for weights in pareto_smoothed_many(ratios)]

    verdicts(halves[0])
    times, latencies = [], []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            started = time.perf_counter()
            found = list(pool.map(verdicts, halves))
            times.append((time.perf_counter() - started) / 256 * 1e3)
    for _ in range(20):
        started = time.perf_counter()
        jax.block_until_ready(alone(single))
        latencies.append((time.perf_counter() - started) * 1e3)
    ratios = jnp.concatenate([f[0] for f in found])
    ess = float(jnp.median(1.0 / jnp.sum(jax.nn.softmax(ratios, axis=1) ** 2, axis=1)))
    row = {"of_256_ms": float(np.median(times)), "one_ms": float(np.median(latencies)), "ess": ess}
    row["nuts_ms"], row["nuts_ess"] = nuts_speed(model, datasets, nuts_datasets)
    append(NAME, {"task": "speed", "model": name, "rows": rows, "features": columns, **row})
    print(name, rows, columns, row, flush=True)


def growth(rows, columns, number=8):
    """Milliseconds per dataset of logistic regression on one thread, and those of NUTS, both as a batch."""
    simulator, network = make("logistic_regression", rows, columns)
    model = simulator.model
    datasets = simulate(simulator, rows, number)

    def one(inputs):
        dataset, key = inputs
        z, log_q = network(dataset).sample_and_log_prob(key, NUM_DRAWS)
        return vmap(model.log_joint, in_axes=(0, None))(z, dataset) - log_q

    batch = jit(lambda d, k: lax.map(one, (d, k)))
    keys = random.split(random.key(1), number)
    jax.block_until_ready(batch(datasets, keys))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        ratios = jax.block_until_ready(batch(datasets, keys))
        times.append((time.perf_counter() - started) / number * 1e3)
    ess = float(jnp.median(1.0 / jnp.sum(jax.nn.softmax(ratios, axis=1) ** 2, axis=1)))
    row = {"batch_ms": float(np.median(times)), "ess": ess}
    row["nuts_ms"], row["nuts_ess"] = nuts_speed(model, datasets, number)
    append(NAME, {"task": "growth", "model": "logistic_regression", "rows": rows, "features": columns, **row})
    print(rows, columns, row, flush=True)


def nuts_speed(model, datasets, number):
    """NUTS vmapped over datasets: milliseconds per dataset and its smallest ESS over latents, medians."""
    from arviz_stats.base.array import array_stats

    def one(key, values):
        sampler = MCMC(NUTS(model.function), num_warmup=500, num_samples=1000, progress_bar=False)
        sampler.run(key, **values)
        return sampler.get_samples()

    arguments = random.split(random.key(2), number), {k: v[:number] for k, v in datasets.values.items()}
    run = jit(vmap(one)).lower(*arguments).compile()
    started = time.perf_counter()
    found = jax.block_until_ready(run(*arguments))
    milliseconds = (time.perf_counter() - started) / number * 1e3
    draws = np.concatenate([np.asarray(v).reshape(number, 1000, -1) for v in found.values()], axis=2)
    sizes = [
        min(float(array_stats.ess(draws[i, None, :, j], chain_axis=0, draw_axis=1)) for j in range(draws.shape[2]))
        for i in range(number)
    ]
    return milliseconds, float(np.median(sizes))


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("T1", "T2", "wide", "speed", "growth"))
    parser.add_argument("--datasets", type=int, default=NUM_DATASETS, help="of T1, T2 and wide")
    parser.add_argument("--sizes", type=int, help="of speed and growth, the first so many sizes alone")
    options = parser.parse_args()
    with one_blas_thread():
        run(options.task, options.datasets, options.sizes)


def run(task, number, sizes):
    """One of the tasks."""
    if task == "T1":
        against_exact("T1", 64, 4, number)
    elif task == "wide":
        against_exact("wide", 128, 100, number)
    elif task == "T2":
        against_nuts(number)
    elif task == "growth":
        for rows, columns in GROWTH[:sizes]:
            growth(rows, columns)
    else:
        for name, rows, columns, nuts_datasets in SPEED[:sizes]:
            speed(name, rows, columns, nuts_datasets)


if __name__ == "__main__":
    main()
