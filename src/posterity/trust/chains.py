r"""Chains that start from q where its weights are unhealthy, against a clock.

32 chains start at draws of q, resampled by weight, in q's own scale. At first the step size follows the acceptance
rate, and between batches of steps the scale follows what all chains have seen together. The batches are short, and no
batch is begun that would not end in time. Whether it worked is for rank R-hat, the effective sample size and divergent
transitions to say.

One program holds the model: a batch of steps. The others do linear algebra, and are the same for all models of a size.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.runtime.compile import filter_jit, jit
from posterity.trust import hmc
from posterity.trust.hmc import Scale, Seen
from posterity.trust.powers import finite_weights, largest_power
from posterity.trust.refinement import FEWEST, Budget, Clock, Refinement, diagnose, successive_keys, unsettled
from posterity.trust.target import Target

__all__ = ["NUM_CHAINS", "STUCK", "WARMUP", "compile_chains", "run_chains"]

NUM_CHAINS = 32
BATCH = 25  # steps, at most: what the clock cannot interrupt
WARMUP = (1, 15, 25, 25, 25, 25, 25)  # steps; after all but the first two the scale is set anew
STUCK, ENOUGH = 1.2, 200  # R-hat after so many steps at which chains are in different modes: more steps do not help
FIRST_STEP, FIRST_GAIN = 0.5, 0.5
NEARLY = 1.05  # R-hat up to which more steps than `most_steps` promise something


class Paused(NamedTuple):
    """Chains between two batches of steps.

    Attributes:
        z: Their points.
        log_density: Of the target there, as their own program computed it.
        scale: $m$ and $C$ of their coordinates.
        log_step: Of the step size.
    """

    z: Float[Array, "chain latent"]
    log_density: Float[Array, " chain"]
    scale: Scale
    log_step: Float[Array, ""]


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
    chains = _start(target.mask, *_float32(z, log_weights), key_start)
    run, nothing = partial(_advance, target), partial(unsettled, "chains", NUM_CHAINS, len(target.mask), budget)
    for turn, number in enumerate(WARMUP):
        if not clock.allows(number):
            return nothing(clock.elapsed)
        gain = np.float32(FIRST_GAIN / (1.0 + 0.5 * turn))
        chains, seen = clock.run(number, partial(run, chains, next(keys), np.int32(number), gain))
        if turn > 1:
            chains = _rescale(target.mask, chains, seen, np.int32(number))

    kept: list[np.ndarray] = []
    divergent: list[np.ndarray] = []
    num_steps, every = 0, 1
    found = nothing(clock.elapsed)
    next_look = float(FEWEST)
    while True:
        in_time = clock.allows(BATCH)
        going_on = in_time and (num_steps < budget.most_steps or _nearly(found, budget))
        if going_on:
            chains, seen = clock.run(BATCH, partial(run, chains, next(keys), np.int32(BATCH), np.float32(0.0)))
            some = slice(-num_steps % every, None, every)
            kept.append(np.asarray(seen.z)[some])
            divergent.append(np.asarray(seen.is_divergent)[some])
            num_steps += BATCH
            if num_steps > every * budget.most_steps:
                kept, divergent = ([np.concatenate(parts)[::2]] for parts in (kept, divergent))
                every *= 2
        if num_steps >= FEWEST and (not going_on or num_steps >= next_look):
            steps = np.moveaxis(np.concatenate(kept), 0, 1)
            diverged = np.concatenate(divergent).T
            share = float(np.mean(diverged))
            judge = partial(diagnose, "chains", steps, np.asarray(target.mask), share, budget, clock.elapsed)
            found = dataclasses.replace(clock.look(judge), is_divergent=diverged)
            next_look = 1.3 * num_steps  # looking takes time, too
        stuck = found.max_r_hat > STUCK and num_steps >= ENOUGH
        if not going_on or not found.problems or stuck:
            ends = np.asarray(chains.z), np.asarray(chains.log_density)
            if found.problems and not in_time:
                found = found.ended_by_clock(budget)
            return dataclasses.replace(found, ends=ends, seconds=clock.elapsed)


def compile_chains(target: Target, z: Float[np.ndarray, "draw latent"]) -> None:
    """Compiles all that `run_chains` will call: on the target itself, and without a single step.

    Args:
        target: The posterior.
        z: Draws of q.
    """
    key_start, key_run = random.split(random.key(0))
    chains = _start(target.mask, *_float32(z, np.full(len(z), -np.log(len(z)))), key_start)
    chains, seen = _advance(target, chains, next(successive_keys(key_run)), np.int32(0), np.float32(0.0))
    _rescale(target.mask, chains, seen, np.int32(0))


def _float32(*arrays: np.ndarray) -> list[np.ndarray]:
    """In the precision of the samplers, without a program for it."""
    return [np.asarray(array, np.float32) for array in arrays]


def _nearly(found: Refinement, budget: Budget) -> bool:
    return found.max_r_hat <= NEARLY and found.divergent <= budget.max_divergent


@partial(jit, effort="moderate")
def _start(mask: Array, z: Array, log_weights: Array, rng_key: Array) -> Paused:
    """Chains at draws that are resampled by weight, and the scale of all draws."""
    weights = jnp.exp(log_weights)
    # With few effective draws the weighted covariance is singular: then q's own scale serves.
    enough = 1.0 / jnp.sum(jnp.square(weights)) > 5.0 * z.shape[1]
    weights = jnp.where(enough, weights, 1.0 / len(weights))
    # Flattened until each chain has an effective draw to start from.
    flattened = largest_power(log_weights[None], NUM_CHAINS) * finite_weights(log_weights)
    chosen = z[random.categorical(rng_key, flattened, shape=(NUM_CHAINS,))]
    log_step = jnp.log(FIRST_STEP) * jnp.ones(())
    return Paused(chosen, jnp.zeros(NUM_CHAINS), hmc.scale_of(z, weights, mask), log_step)


@partial(filter_jit, effort="moderate")
def _advance(target: Target, chains: Paused, rng_key: Array, number: Array, gain: Array) -> tuple[Paused, Seen]:
    started = hmc.start(target, chains.z, chains.scale, chains.log_step)
    moved, seen = hmc.advance(target, started, rng_key, number, BATCH, gain)
    return Paused(moved.z, moved.log_density(target.mask), chains.scale, moved.log_step), seen


@partial(jit, effort="moderate")
def _rescale(mask: Array, chains: Paused, seen: Seen, number: Array) -> Paused:
    """The chains in the scale of what all of them saw, as far as it can be told from so many draws."""
    draws = number * NUM_CHAINS
    weights = jnp.where(jnp.arange(BATCH) < number, 1.0 / draws, 0.0)
    together = jnp.reshape(seen.z, (-1, mask.size))
    found = hmc.scale_of(together, jnp.repeat(weights, NUM_CHAINS), mask)
    return chains._replace(scale=hmc.shrunk(found, draws * seen.acceptance, chains.scale))
