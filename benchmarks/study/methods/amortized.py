"""Trains one network of a setting, and draws from it for every test dataset."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float

import posterity
from posterity.runtime.compile import filter_jit
from posterity.training import DatasetStream
from study.datasets import TestSet
from study.methods import networks
from study.settings import Setting

__all__ = ["NetworkDraws", "draw", "of_model", "train", "training_record"]


class NetworkDraws(NamedTuple):
    """What a network says of every test dataset.

    Attributes:
        z: Draws of q.
        log_q: Of the draws, in nats.
        log_joint: Of the draws, in nats.
        log_q_at: Log q at the reference draws that were given; empty without.
        milliseconds: Per dataset, for the draws alone, compiled.
    """

    z: Float[np.ndarray, "dataset draw latent"]
    log_q: Float[np.ndarray, "dataset draw"]
    log_joint: Float[np.ndarray, "dataset draw"]
    log_q_at: Float[np.ndarray, "dataset reference"]
    milliseconds: float


def train(
    setting: Setting,
    preset: str,
    encoder: str,
    family: str,
    objective: str,
    seed: int,
    stream: DatasetStream | None = None,
    **encoder_options: Any,
) -> posterity.Estimator:
    """The estimator of one cell."""
    return posterity.train(
        setting.simulator(),
        architecture=networks.architecture(preset, encoder, family, **encoder_options),
        objective=networks.objective(objective),
        stream=stream,
        config=networks.training(preset, setting, seed),
    )


def draw(
    estimator: posterity.Estimator, test: TestSet, num_draws: int, at: Float[np.ndarray, "dataset reference latent"]
) -> NetworkDraws:
    """Draws of q for every test dataset.

    Args:
        estimator: Of the setting that the test set belongs to.
        test: The datasets.
        num_draws: Draws of each.
        at: Points at which log q is wanted, too; none if its second axis is empty.
    """
    network, model, mask = estimator.network, estimator.model, test.latent_mask
    keys = random.split(random.key(5), len(test.z))

    @filter_jit
    def drawn(network: Any, datasets: Any, keys: Array) -> tuple[Array, Array]:
        return lax.map(lambda pair: network(pair[0], mask).sample_and_log_prob(pair[1], num_draws), (datasets, keys))

    @filter_jit
    def judged(network: Any, datasets: Any, z: Array, at: Array) -> tuple[Array, Array]:
        def one(inputs: Any) -> tuple[Array, Array]:
            dataset, z, at = inputs
            joint = lax.map(lambda each: model.log_joint(each, dataset), z, batch_size=250)
            return joint, vmap(network(dataset, mask).log_prob)(at)

        return lax.map(one, (datasets, z, at))

    jax.block_until_ready(drawn(network, test.datasets, keys))
    started = time.perf_counter()
    z, log_q = jax.block_until_ready(drawn(network, test.datasets, keys))
    milliseconds = 1e3 * (time.perf_counter() - started) / len(keys)
    log_joint, log_q_at = judged(network, test.datasets, z, jnp.asarray(at))
    return NetworkDraws(*(np.asarray(part) for part in (z, log_q, log_joint, log_q_at)), milliseconds)


def training_record(estimator: posterity.Estimator) -> dict[str, Any]:
    """How a network was trained, for its rows."""
    found = estimator.record["training"]
    return {
        "steps": found["step"],
        "stop_reason": found["stop_reason"],
        "train_seconds": round(found["seconds"], 1),
        "num_params": estimator.record["num_params"],
    }


def of_model(setting: Setting) -> DatasetStream:
    """Datasets of a setting's model, as the stream of another's network."""
    return posterity.OtherModel(setting.simulator())
