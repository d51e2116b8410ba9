"""What the questions share: training a network whose parts are no options, a short judgement, and the order of rows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array

import posterity
from posterity.amortized.network import AmortizedPosterior, num_params
from posterity.amortized.objectives import AbstractObjective
from posterity.model.dataset import Dataset
from posterity.runtime.compile import filter_jit
from posterity.training import run_training
from study.datasets import TestSet
from study.methods import amortized, networks
from study.metrics.exact import exact_draws
from study.metrics.measures import Metrics, predictive, summary, symmetric_kl, weights
from study.presets import Preset
from study.settings import Setting

__all__ = ["in_another_order", "judge", "order_sensitivity", "train_network"]


def train_network(
    setting: Setting, preset: str, network: AmortizedPosterior, objective: AbstractObjective, seed: int
) -> posterity.Estimator:
    """An estimator from a network that `posterity.train` cannot build, because the library lacks one of its parts.

    Args:
        setting: What it is trained for.
        preset: Decides the length of the training.
        network: Before training.
        objective: What is minimised.
        seed: Decides the datasets.
    """
    simulator, config = setting.simulator(), networks.training(preset, setting, seed)
    result = run_training(simulator, network, objective, posterity.Simulated(), config)
    record = {"training": result.to_json(), "num_params": num_params(network)}
    return posterity.Estimator(simulator.model, result.network, simulator, record=record)


def judge(estimator: posterity.Estimator, test: TestSet, setting: Setting, sizes: Preset) -> dict[str, Any]:
    """How it was trained, its speed, and those metrics of `trained.judge_network` that need no chains."""
    exact = (
        exact_draws(test, sizes.num_draws, seed=77) if setting.exact else np.zeros((len(test.z), 0, test.z.shape[1]))
    )
    found = amortized.draw(estimator, test, sizes.num_draws, exact.astype(np.float32))
    metrics = predictive(test, found.z, setting.score) | weights(found.log_joint, found.log_q)
    if setting.exact:
        metrics = symmetric_kl(test, found.z, found.log_q, exact, found.log_q_at) | metrics
    record = amortized.training_record(estimator)
    return record | {"infer_ms": round(found.milliseconds, 3), "metrics": metrics}


def in_another_order(dataset: Dataset, rng_key: Array) -> Dataset:
    """One dataset with its real rows shuffled; padded rows stay behind them."""
    place = jnp.where(dataset.row_mask, random.uniform(rng_key, dataset.row_mask.shape), 2.0)
    order = jnp.argsort(place)
    return Dataset(
        {name: array[order] for name, array in dataset.values.items()}, dataset.row_mask, dataset.plate_masks
    )


def order_sensitivity(estimator: posterity.Estimator, test: TestSet, num_draws: int = 500) -> Metrics:
    r"""How far q moves when the rows of a dataset, whose order means nothing, are shuffled.

    `order_kl`: $\frac12 (\mathrm{KL}(q \| q') + \mathrm{KL}(q' \| q)) / P$ in nats, by draws of both, from the same
    noise. `order_shift`: distance of their means in sds, root mean square over latents. Both are 0 for set encoders.
    """
    mask = test.latent_mask

    @filter_jit
    def every(network: Any, datasets: Dataset, keys: Array) -> tuple[Array, Array]:
        def one(inputs: tuple[Dataset, Array]) -> tuple[Array, Array]:
            dataset, key = inputs
            key_order, key_draw = random.split(key)
            first, second = network(dataset, mask), network(in_another_order(dataset, key_order), mask)
            (z, log_q), (z_new, log_q_new) = (q.sample_and_log_prob(key_draw, num_draws) for q in (first, second))
            there = jnp.mean(log_q - vmap(second.log_prob)(z))
            back = jnp.mean(log_q_new - vmap(first.log_prob)(z_new))
            shift = jnp.mean(z_new - z, axis=0) / jnp.where(mask, jnp.std(z, axis=0), 1.0)
            return 0.5 * (there + back) / jnp.sum(mask), jnp.sqrt(jnp.sum(shift**2) / jnp.sum(mask))

        return lax.map(one, (datasets, keys))

    keys = random.split(random.key(6), len(test.z))
    divergence, shift = jax.device_get(every(estimator.network, test.datasets, keys))
    return {"order_kl": summary(divergence), "order_shift": summary(shift)}
