"""The compiled part of training: simulate, encode, loss and update for a chunk of steps, all on the device."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax, random, vmap
from jaxtyping import Array, Float, Int, PRNGKeyArray

from posterity.amortized.network import AmortizedPosterior
from posterity.amortized.objectives import AbstractObjective
from posterity.model.dataset import Dataset
from posterity.runtime.compile import jit
from posterity.simulation.simulator import Simulator
from posterity.training.config import TrainingConfig
from posterity.training.stream import DatasetStream, draw_sizes

__all__ = ["ChunkReport", "TrainingState", "advance", "initial_state", "make_chunk", "make_optimizer"]


class TrainingState(eqx.Module):
    """All that the next step needs, and nothing else.

    Attributes:
        params: Trained weights.
        average: Their exponential moving average.
        optimizer: State of Adam.
        step: Steps done.
    """

    params: Any
    average: Any
    optimizer: Any
    step: Int[Array, ""]


class ChunkReport(eqx.Module):
    """What a chunk tells: loss and gradient norm of each of its steps, in nats."""

    loss: Float[Array, " step"]
    gradient_norm: Float[Array, " step"]

    @property
    def skipped(self) -> Int[Array, ""]:
        """Steps whose loss or gradient was not finite: they changed nothing."""
        return jnp.sum(~(jnp.isfinite(self.loss) & jnp.isfinite(self.gradient_norm)))

    @property
    def mean_loss(self) -> Float[Array, ""]:
        """Mean loss of the other steps; NaN if there are none."""
        return jnp.nanmean(jnp.where(jnp.isfinite(self.loss), self.loss, jnp.nan))


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Clipping and Adam's direction; the learning rate is applied where the progress is known.

    A step whose gradient overflowed leaves weights and Adam's state as they were; `skipped` counts such steps, and
    the loop ends a run in which they are the rule.
    """
    adam = optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.scale_by_adam())
    return optax.apply_if_finite(adam, max_consecutive_errors=2**30)


def initial_state(network: eqx.Module, config: TrainingConfig) -> TrainingState:
    """State before the first step."""
    params = eqx.filter(network, eqx.is_inexact_array)
    # Copies, so that no two entries of the state share a buffer.
    average = jax.tree.map(jnp.array, params)
    return TrainingState(params, average, make_optimizer(config).init(params), jnp.zeros((), jnp.int32))


def make_chunk(
    simulator: Simulator,
    network: AmortizedPosterior,
    objective: AbstractObjective,
    stream: DatasetStream,
    config: TrainingConfig,
) -> Callable[[TrainingState, PRNGKeyArray, Float[Array, ""], tuple[int, int], int], tuple[TrainingState, ChunkReport]]:
    """The compiled function `(state, rng_key, time_progress, (low, high), num_steps) -> (state, report)`.

    It does `num_steps` steps on fresh datasets with `low..high` rows, padded to `high`. Every draw
    depends on the run's key and the number of the step alone, so a resumed run repeats them to the bit. The key is an
    argument, so that runs that differ in their seed share one compiled program.

    Args:
        simulator: What is learned.
        network: Gives the structure; its weights are in the state.
        objective: What is minimised.
        stream: Where datasets come from.
        config: Settings.
    """
    static = eqx.filter(network, eqx.is_inexact_array, inverse=True)
    optimizer = make_optimizer(config)

    def draw(rng_key: PRNGKeyArray, low: int, high: int) -> tuple[Dataset, Array | None, Array, PRNGKeyArray]:
        key_sizes, key_draw, key_loss = random.split(rng_key, 3)
        num_rows, sizes = draw_sizes(simulator, key_sizes, low, high)
        masks = simulator.model.plate_masks(sizes)
        dataset, z = stream.draw(simulator, key_draw, jnp.arange(high) < num_rows, masks)
        return dataset, z, simulator.model.space.mask(masks), key_loss

    def batch_loss(params: Any, rng_key: PRNGKeyArray, progress: Array, low: int, high: int) -> Array:
        network = eqx.combine(params, static)
        keys = random.split(rng_key, config.batch_size)
        datasets, z, latent_masks, keys_loss = vmap(lambda key: draw(key, low, high))(keys)

        def dataset_loss(embedding: Array, dataset: Dataset, z: Array | None, latent_mask: Array, key: PRNGKeyArray):
            q = network.posterior(embedding, dataset, latent_mask)
            return objective.loss(simulator.model, q, dataset, z, progress=progress, rng_key=key)

        return jnp.mean(vmap(dataset_loss)(network.embed(datasets), datasets, z, latent_masks, keys_loss))

    @partial(jit, static_argnums=(3, 4))
    def run_chunk(
        state: TrainingState,
        rng_key: PRNGKeyArray,
        time_progress: Float[Array, ""],
        rows: tuple[int, int],
        num_steps: int,
    ) -> tuple[TrainingState, ChunkReport]:
        low, high = rows

        def one_step(state: TrainingState, _: None) -> tuple[TrainingState, tuple[Array, Array]]:
            progress = jnp.minimum(jnp.maximum(time_progress, _step_progress(state.step, config)), 1.0)
            key_step = random.fold_in(rng_key, state.step)
            loss, gradient = jax.value_and_grad(batch_loss)(state.params, key_step, progress, low, high)
            return advance(state, gradient, progress, optimizer, config), (loss, optax.tree.norm(gradient))

        state, (losses, norms) = lax.scan(one_step, state, None, length=num_steps)
        return state, ChunkReport(losses, norms)

    return run_chunk


def advance(
    state: TrainingState,
    gradient: Any,
    progress: Float[Array, ""],
    optimizer: optax.GradientTransformation,
    config: TrainingConfig,
) -> TrainingState:
    """The state after one step.

    Args:
        state: The state before.
        gradient: Of the loss by `state.params`.
        progress: Share of the budget that is spent.
        optimizer: From `make_optimizer`.
        config: Settings.
    """
    updates, optimizer_state = optimizer.update(gradient, state.optimizer)
    rate = learning_rate(state.step, progress, config)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    # A short memory at first, or the average would remember the untrained weights.
    decay = jnp.minimum(config.ema_decay, (1.0 + state.step) / (10.0 + state.step))
    average = jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), state.average, params)
    return TrainingState(params, average, optimizer_state, state.step + 1)


def _step_progress(step: Int[Array, ""], config: TrainingConfig) -> Float[Array, ""]:
    """Share of the step budget that is spent; 0 where there is none."""
    return step / config.steps if config.steps else jnp.zeros(())


def learning_rate(step: Int[Array, ""], progress: Float[Array, ""], config: TrainingConfig) -> Float[Array, ""]:
    """Linear warm-up in steps times a cosine in the share of the budget that is spent."""
    warmup = jnp.minimum(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * warmup * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
