"""The best member of a family for each test dataset, fitted to it alone: what no amortized network can beat.

Its distance to the posterior is the family's gap; the network's distance to it is the amortization gap. Reverse KL by
Adam on the evidence bound; forward KL of a diagonal Gaussian by the moments of reference draws, which is its optimum.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, random, vmap
from jaxtyping import Array, Float

import posterity
from posterity.amortized.families import FAMILIES, AbstractFamily, AbstractPosterior, DiagonalGaussian
from posterity.amortized.objectives import AbstractObjective
from posterity.model.dataset import Dataset
from posterity.runtime.compile import jit
from study.datasets import TestSet
from study.methods.networks import family_options

__all__ = ["NUM_SAMPLES", "best_forward_diagonal", "best_member", "best_reverse"]

NUM_SAMPLES = 16
Points = Float[np.ndarray, "dataset reference latent"]


class Drawn(NamedTuple):
    """Draws of the members.

    Attributes:
        z: The draws.
        log_q: Of the draws, in nats.
        log_joint: Of the draws, in nats.
        log_q_at: Log q at the points that were given.
    """

    z: Float[np.ndarray, "dataset draw latent"]
    log_q: Float[np.ndarray, "dataset draw"]
    log_joint: Float[np.ndarray, "dataset draw"]
    log_q_at: Float[np.ndarray, "dataset reference"]


def best_reverse(
    test: TestSet,
    family: str,
    num_draws: int,
    *,
    preset: str,
    at: Points | None = None,
    steps: int = 2000,
    seed: int = 0,
) -> Drawn:
    """The member that minimises KL(q‖p), dataset by dataset.

    Args:
        test: The datasets.
        family: Name in `FAMILIES`.
        num_draws: Draws of each.
        preset: Decides the family's options.
        at: Points at which log q is wanted, too.
        steps: Of Adam.
        seed: Decides everything drawn.
    """
    blank = FAMILIES[family](test.model.space.size, 1, key=random.key(seed), **family_options(preset, family))
    return best_member(
        test, blank, posterity.ReverseKL(num_samples=NUM_SAMPLES), num_draws, at=at, steps=steps, seed=seed
    )


def best_member(
    test: TestSet,
    blank: AbstractFamily,
    objective: AbstractObjective,
    num_draws: int,
    *,
    at: Points | None = None,
    steps: int = 2000,
    seed: int = 0,
) -> Drawn:
    """The member of any family that an objective finds, dataset by dataset.

    Args:
        test: The datasets.
        blank: The family before training, for a context of one number.
        objective: What is minimised; it needs no latents.
        num_draws: Draws of each.
        at: Points at which log q is wanted, too.
        steps: Of Adam, its rate falling from 0.02 to 0 along a cosine.
        seed: Decides everything drawn.
    """
    params, static = eqx.partition(blank, eqx.is_inexact_array)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps))

    def member(params: Any) -> AbstractPosterior:
        return eqx.combine(params, static)(jnp.ones(1), test.latent_mask)

    def fitted(dataset: Dataset, key: Array) -> AbstractPosterior:
        def loss(params: Any, key: Array, progress: Array) -> Array:
            return objective.loss(test.model, member(params), dataset, None, progress=progress, rng_key=key)

        def step(carry: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], None]:
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, random.fold_in(key, index), index / steps), state)
            return (optax.apply_updates(params, updates), state), None

        (found, _), _ = lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
        return member(found)

    return _drawn(test, fitted, None, num_draws, at, seed)


def best_forward_diagonal(
    test: TestSet, reference: Points, num_draws: int, *, at: Points | None = None, seed: int = 0
) -> Drawn:
    """The diagonal Gaussian with the reference's means and sds, which minimises KL(p‖q)."""
    moments = reference.mean(axis=1), np.maximum(reference.std(axis=1), 1e-6)

    def fitted(dataset: Dataset, key: Array, loc: Array, scale: Array) -> AbstractPosterior:
        del dataset, key
        return DiagonalGaussian(loc, scale, test.latent_mask)

    return _drawn(test, fitted, moments, num_draws, at, seed)


def _drawn(
    test: TestSet, fitted: Callable[..., AbstractPosterior], given: Any, num_draws: int, at: Points | None, seed: int
) -> Drawn:
    """Draws of what `fitted(dataset, key, *given)` finds for every dataset."""
    # One point where none are wanted: `lax.map` cannot batch an empty axis.
    points = jnp.zeros((len(test.z), 1, test.model.space.size)) if at is None else jnp.asarray(at)

    @jit
    def every(inputs: Any) -> tuple[Array, ...]:
        def one(inputs: Any) -> tuple[Array, ...]:
            dataset, key, at, given = inputs
            key_fit, key_draw = random.split(key)
            q = fitted(dataset, key_fit, *(given or ()))
            z, log_q = q.sample_and_log_prob(key_draw, num_draws)
            log_joint = lax.map(lambda each: test.model.log_joint(each, dataset), z, batch_size=250)
            return z, log_q, log_joint, vmap(q.log_prob)(at)

        return lax.map(one, inputs, batch_size=10)

    keys = random.split(random.key(seed), len(test.z))
    found = Drawn(*(np.asarray(part) for part in every((test.datasets, keys, points, given))))
    return found._replace(log_q_at=found.log_q_at[:, :0]) if at is None else found
