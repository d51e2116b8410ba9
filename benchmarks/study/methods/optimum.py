"""MLE and MAP by Adam on each test dataset: 25 starts at draws of the prior, the learning rate chosen per task.

As in the paper: 1000 iterations, rates from 1e-2 down to 3e-5, the one with the best final objective. Its code then
runs 10001 iterations at that rate; so does `final_iterations` here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, vmap
from jaxtyping import Array, Float

from posterity.runtime.compile import jit
from study.datasets import TestSet
from study.methods.chains import prior_draws

__all__ = ["LEARNING_RATES", "optimum"]

LEARNING_RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
NUM_STARTS = 25


def optimum(
    test: TestSet, *, prior: bool, iterations: int = 1000, final_iterations: int | None = None, seed: int = 0
) -> Float[np.ndarray, "dataset start latent"]:
    """Where Adam ends, from 25 starts for each dataset.

    Args:
        test: The datasets.
        prior: MAP if True, MLE if False.
        iterations: Steps while the learning rate is chosen.
        final_iterations: Steps at the chosen rate; `iterations` if None.
        seed: Decides the starts.
    """
    model = test.model
    starts = prior_draws(test, NUM_STARTS, seed)

    def objective(z: Array, dataset: object) -> Array:
        log_prior, rows = model.log_prior_and_likelihood(z, dataset)
        return -(log_prior if prior else 0.0) - jnp.sum(rows)

    @jit
    def run(rate: Array, number: Array) -> tuple[Array, Array]:
        def one(start: Array, dataset: object) -> tuple[Array, Array]:
            adam = optax.scale_by_adam()

            def step(_: Array, carry: tuple[Array, object]) -> tuple[Array, object]:
                z, state = carry
                direction, state = adam.update(jax.grad(objective)(z, dataset), state)
                return z - rate * direction, state

            z, _ = lax.fori_loop(0, number, step, (start, adam.init(start)))
            return z, objective(z, dataset)

        return lax.map(lambda pair: vmap(lambda s: one(s, pair[1]))(pair[0]), (starts, test.datasets), batch_size=50)

    finals = {rate: run(jnp.asarray(rate), jnp.asarray(iterations)) for rate in LEARNING_RATES}
    best = min(LEARNING_RATES, key=lambda rate: float(jnp.nan_to_num(jnp.mean(finals[rate][1]), nan=jnp.inf)))
    if final_iterations is None:
        return np.asarray(finals[best][0])
    return np.asarray(run(jnp.asarray(best), jnp.asarray(final_iterations))[0])
