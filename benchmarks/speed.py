"""How fast each encoder trains and answers, and where the time goes.

    python benchmarks/speed.py
    python benchmarks/speed.py --encoder deep_sets

Linear regression with 5 features and a full Gaussian; default options. Training: datasets per second over 200
steps of 64 datasets with 64 to 128 rows, after compilation. Answering: milliseconds per posterior of 1000 weighed
draws (64 rows), for one dataset and per dataset in a batch of 256: medians of 30 and 10 calls. Parts of the training
step are timed on their own: simulation, network forward, loss and its gradient. Rows go to `results/speed.jsonl`.
"""

import argparse
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from rows import append

import posterity
from posterity.amortized.encoders import ENCODERS
from posterity.amortized.network import AmortizedPosterior, build_network
from posterity.runtime.compile import filter_jit, jit
from posterity.training.step import initial_state, make_chunk

BATCH, NUM_ROWS, NUM_DRAWS = 64, 128, 1000


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Median wall milliseconds of a call, after one that compiles."""
    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - started)
    return float(np.median(times) * 1e3)


def training_rate(simulator: posterity.Simulator, network: AmortizedPosterior) -> tuple[float, float]:
    """Datasets per second of training, and seconds of compilation."""
    config = posterity.TrainingConfig(steps=10_000, batch_size=BATCH, chunk_steps=50)
    chunk = make_chunk(simulator, network, posterity.ForwardKL(), posterity.Simulated(), config)
    state, key, zero = initial_state(network, config), random.key(config.seed), jnp.zeros(())
    started = time.perf_counter()
    state, _ = jax.block_until_ready(chunk(state, key, zero, (64, NUM_ROWS), config.chunk_steps))
    first = time.perf_counter() - started
    times = []
    for _ in range(4):
        started = time.perf_counter()
        state, _ = jax.block_until_ready(chunk(state, key, zero, (64, NUM_ROWS), config.chunk_steps))
        times.append(time.perf_counter() - started)
    best = float(np.median(times))
    return 50 * BATCH / best, first - best


def step_parts(simulator: posterity.Simulator, network: AmortizedPosterior) -> dict[str, float]:
    """Milliseconds of the parts of one training step on 64 datasets of 128 rows."""
    model = simulator.model
    masks = model.plate_masks(model.capacity)
    latent_mask = model.space.mask(masks)
    simulate = jit(vmap(lambda key: simulator.simulate(key, jnp.ones(NUM_ROWS, bool), masks)))
    keys = random.split(random.key(0), BATCH)
    datasets, z = simulate(keys)
    encode = filter_jit(lambda n, d: n.embed(d))

    def loss(network, datasets, z):
        log_prob = lambda embedding, one, at: network.posterior(embedding, one, latent_mask).log_prob(at)  # noqa: E731
        return -jnp.mean(vmap(log_prob)(network.embed(datasets), datasets, z))

    forward, gradient = filter_jit(loss), filter_jit(eqx.filter_grad(loss))
    return {
        "simulate_ms": median_ms(lambda: simulate(keys), 20),
        "encode_ms": median_ms(lambda: encode(network, datasets), 20),
        "forward_ms": median_ms(lambda: forward(network, datasets, z), 20),
        "gradient_ms": median_ms(lambda: gradient(network, datasets, z), 20),
    }


def answer_times(simulator: posterity.Simulator, network: AmortizedPosterior) -> dict[str, float]:
    """Milliseconds per posterior of 1000 weighed draws, one dataset at a time and in a batch of 256."""
    model = simulator.model
    masks = model.plate_masks(model.capacity)
    simulate = jit(vmap(lambda key: simulator.simulate(key, jnp.ones(64, bool), masks)[0]))
    datasets = simulate(random.split(random.key(1), 256))

    def weigh(network, dataset, key):
        q = network(dataset, model.space.mask(dataset.plate_masks))
        z, log_q = q.sample_and_log_prob(key, NUM_DRAWS)
        return z, vmap(model.log_joint, in_axes=(0, None))(z, dataset) - log_q

    single, batched = filter_jit(weigh), filter_jit(eqx.filter_vmap(weigh, in_axes=(None, 0, 0)))
    one = jax.tree.map(lambda leaf: leaf[0], datasets)
    keys = random.split(random.key(2), 256)
    return {
        "one_ms": median_ms(lambda: single(network, one, keys[0]), 30),
        "of_256_ms": median_ms(lambda: batched(network, datasets, keys), 10) / 256,
    }


def main() -> None:
    """One row per encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=ENCODERS)
    chosen = parser.parse_args().encoder
    entry = posterity.MODELS["linear_regression_known_noise"]
    simulator = posterity.builtin_simulator(entry, (16, 128), (5, 5), covariates="normal")
    for encoder in [chosen] if chosen else ENCODERS:
        network = build_network(simulator, posterity.Architecture(encoder, "full"), rng_key=random.key(0))
        rate, compile_seconds = training_rate(simulator, network)
        row = {
            "encoder": encoder,
            "datasets_per_second": rate,
            "compile_seconds": compile_seconds,
            **step_parts(simulator, network),
            **answer_times(simulator, network),
        }
        append("speed", row)
        print(
            {key: value if isinstance(value, str) else round(value, 3) for key, value in row.items()},
            flush=True,
        )


if __name__ == "__main__":
    main()
