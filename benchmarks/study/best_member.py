"""The best member of a family for each test dataset, fitted to it alone: what no amortized network can beat.

Its distance to the posterior is the family's gap; the network's distance to it is the amortization gap. Reverse KL by
Adam on the evidence bound; forward KL of a diagonal Gaussian by the moments of reference draws, which is its optimum.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, random
from jaxtyping import Array, Float

from posterity.objectives import ReverseKL
from posterity.posteriors import FAMILIES, DiagonalGaussian
from study.datasets import TestSet
from study.networks import family_options

__all__ = ["best_forward_diagonal", "best_reverse"]

Drawn = tuple[
    Float[np.ndarray, "dataset draw latent"], Float[np.ndarray, "dataset draw"], Float[np.ndarray, "dataset draw"]
]
NUM_SAMPLES = 16


def best_reverse(test: TestSet, family: str, num_draws: int, *, preset: str, steps: int = 2000, seed: int = 0) -> Drawn:
    """Draws, log q and log joint of the member that minimises KL(q‖p), dataset by dataset.

    Args:
        test: The datasets.
        family: Name in `FAMILIES`.
        num_draws: Draws of each.
        preset: Decides the family's options.
        steps: Of Adam, its rate falling from 0.02 to 0 along a cosine.
        seed: Decides everything drawn.
    """
    size = test.problem.space.size
    objective = ReverseKL(num_samples=NUM_SAMPLES)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, steps))
    blank = FAMILIES[family](size, 1, key=random.key(seed), **family_options(preset, family))
    params, static = eqx.partition(blank, eqx.is_inexact_array)

    @jax.jit
    def every(datasets: object, keys: Array) -> tuple[Array, Array, Array]:
        def one(inputs: tuple[object, Array]) -> tuple[Array, Array, Array]:
            dataset, key = inputs

            def loss(params: object, key: Array) -> Array:
                q = eqx.combine(params, static)(jnp.ones(1), test.latent_mask)
                return objective.loss(test.problem, q, dataset, None, progress=jnp.ones(()), rng_key=key)

            def step(carry: tuple, index: Array) -> tuple[tuple, None]:
                params, state = carry
                gradient = jax.grad(loss)(params, random.fold_in(key, index))
                updates, state = optimizer.update(gradient, state)
                return (optax.apply_updates(params, updates), state), None

            (fitted, _), _ = lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
            q = eqx.combine(fitted, static)(jnp.ones(1), test.latent_mask)
            return _draw(test, q, dataset, random.fold_in(key, steps), num_draws)

        return lax.map(one, (datasets, keys), batch_size=10)

    return tuple(np.asarray(part) for part in every(test.datasets, random.split(random.key(seed), len(test.z))))


def best_forward_diagonal(
    test: TestSet, reference: Float[np.ndarray, "dataset draw latent"], num_draws: int, seed: int = 0
) -> Drawn:
    """Draws, log q and log joint of the diagonal Gaussian with the reference's means and sds."""
    loc, scale = reference.mean(axis=1), np.maximum(reference.std(axis=1), 1e-6)

    @jax.jit
    def every(datasets: object, loc: Array, scale: Array, keys: Array) -> tuple[Array, Array, Array]:
        def one(inputs: tuple) -> tuple[Array, Array, Array]:
            dataset, loc, scale, key = inputs
            return _draw(test, DiagonalGaussian(loc, scale, test.latent_mask), dataset, key, num_draws)

        return lax.map(one, (datasets, loc, scale, keys))

    keys = random.split(random.key(seed), len(test.z))
    return tuple(np.asarray(part) for part in every(test.datasets, jnp.asarray(loc), jnp.asarray(scale), keys))


def _draw(test: TestSet, q: object, dataset: object, key: Array, num_draws: int) -> tuple[Array, Array, Array]:
    z, log_q = q.sample_and_log_prob(key, num_draws)
    return z, log_q, lax.map(lambda each: test.problem.log_joint(each, dataset), z, batch_size=250)
