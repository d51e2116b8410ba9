r"""Chains that start from q where its weights are unhealthy, against a clock.

32 chains start at draws of q, resampled by weight, in q's own scale. At first the step size follows the acceptance
rate, and between batches of steps the scale follows what all chains have seen together. The batches are short, and no
batch is begun that would not end in time. Whether it worked is for rank R-hat, the effective sample size and divergent
transitions to say.
"""

import dataclasses
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.runtime.compile import filter_jit
from posterity.trust import hmc
from posterity.trust.hmc import Chains, Seen
from posterity.trust.powers import finite_weights, largest_power
from posterity.trust.refinement import FEWEST, Budget, Clock, Refinement, diagnose, successive_keys, unsettled
from posterity.trust.target import Target

__all__ = ["NUM_CHAINS", "STUCK", "WARMUP", "run_chains"]

NUM_CHAINS = 32
BATCH = 25  # steps, at most: what the clock cannot interrupt
WARMUP = (15, 25, 25, 25, 25, 25)  # steps; after each but the first the scale is set anew
STUCK, ENOUGH = 1.2, 200  # R-hat after so many steps at which chains are in different modes: more steps do not help
FIRST_STEP, FIRST_GAIN = 0.5, 0.5


def run_chains(
    target: Target,
    z: Float[np.ndarray, "draw latent"],
    log_weights: Float[np.ndarray, " draw"],
    rng_key: PRNGKeyArray,
    budget: Budget,
) -> Refinement:
    """Samples one dataset's posterior from where q left off.

    Args:
        target: The posterior.
        z: Unconstrained draws of q.
        log_weights: Their normalised importance weights, healthy or not.
        rng_key: Consumed here.
        budget: Time, and what to reach.
    """
    clock = Clock(budget.seconds)
    key_start, key_run = random.split(rng_key)
    keys = successive_keys(key_run)
    chains = _start(target, jnp.asarray(z), jnp.asarray(log_weights, jnp.float32), key_start)
    run, nothing = partial(_advance, target), partial(unsettled, "chains", NUM_CHAINS, len(target.mask), budget)
    for turn, number in enumerate(WARMUP):
        if not clock.allows(number):
            return nothing(clock.elapsed)
        gain = jnp.asarray(FIRST_GAIN / (1.0 + 0.5 * turn))
        chains, seen = clock.run(number, partial(run, chains, next(keys), jnp.asarray(number), gain))
        if turn:
            chains = _rescale(target, chains, seen, jnp.asarray(number))

    kept: list[np.ndarray] = []
    divergent: list[np.ndarray] = []
    found = nothing(clock.elapsed)
    next_look = float(FEWEST)
    while True:
        going_on = len(kept) * BATCH < budget.most_steps and clock.allows(BATCH)
        if going_on:
            chains, seen = clock.run(BATCH, partial(run, chains, next(keys), jnp.asarray(BATCH), jnp.zeros(())))
            kept.append(np.asarray(seen.z))
            divergent.append(np.asarray(seen.is_divergent))
        num_steps = len(kept) * BATCH
        if num_steps >= FEWEST and (not going_on or num_steps >= next_look):
            steps = np.moveaxis(np.concatenate(kept), 0, 1)
            diverged = np.concatenate(divergent).T
            share = float(np.mean(diverged))
            judge = partial(diagnose, "chains", steps, np.asarray(target.mask), share, budget, clock.elapsed)
            found = dataclasses.replace(clock.look(judge), is_divergent=diverged)
            next_look = 1.3 * num_steps  # looking takes time, too
        stuck = found.max_r_hat > STUCK and num_steps >= ENOUGH
        if not going_on or not found.problems or stuck:
            ends = np.asarray(chains.z), np.asarray(chains.log_density(target.mask))
            return dataclasses.replace(found, ends=ends, seconds=clock.elapsed)


@filter_jit
def _start(target: Target, z: Array, log_weights: Array, rng_key: Array) -> Chains:
    """Chains at draws that are resampled by weight, and the scale of all draws."""
    weights = jnp.exp(log_weights)
    # With few effective draws the weighted covariance is singular: then q's own scale serves.
    enough = 1.0 / jnp.sum(jnp.square(weights)) > 5.0 * z.shape[1]
    weights = jnp.where(enough, weights, 1.0 / len(weights))
    # Flattened until each chain has an effective draw to start from.
    flattened = largest_power(log_weights[None], NUM_CHAINS) * finite_weights(log_weights)
    chosen = z[random.categorical(rng_key, flattened, shape=(NUM_CHAINS,))]
    return hmc.start(target, chosen, hmc.scale_of(z, weights, target.mask), jnp.log(FIRST_STEP) * jnp.ones(()))


@filter_jit
def _advance(target: Target, chains: Chains, rng_key: Array, number: Array, gain: Array) -> tuple[Chains, Seen]:
    return hmc.advance(target, chains, rng_key, number, BATCH, gain)


@filter_jit
def _rescale(target: Target, chains: Chains, seen: Seen, number: Array) -> Chains:
    """The chains in the scale of what all of them saw, as far as it can be told from so many draws."""
    draws = number * NUM_CHAINS
    weights = jnp.where(jnp.arange(BATCH) < number, 1.0 / draws, 0.0)
    together = jnp.reshape(seen.z, (-1, len(target.mask)))
    found = hmc.scale_of(together, jnp.repeat(weights, NUM_CHAINS), target.mask)
    scale = hmc.shrunk(found, draws * seen.acceptance, (chains.loc, chains.factor))
    return hmc.start(target, chains.z, scale, chains.log_step)
