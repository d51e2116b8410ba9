r"""Sampling that starts from q where its weights are unhealthy: many short chains, in q's own scale, against a clock.

Chains of HMC (BlackJAX) start at draws of q, resampled by weight, and move in coordinates $x$ with $z = m + C x$, where
$m$ and $C C'$ are mean and covariance of those draws: there the posterior is about as wide in every direction, and
trajectories of random length up to $\pi$ cross it. All chains take the same number of leapfrog steps at a time, which
is what many chains on one machine are good at. Between batches of steps, what all chains have seen together sets the
step size, and $m$ and $C$ anew. The batches are short, and no batch is begun that would not end in time. Whether it
worked is for rank R-hat, the effective sample size and divergent transitions to say.
"""

import dataclasses
import time
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.dataset import Dataset
from posterity.problem import Problem

__all__ = ["Budget", "Refinement", "compile_refinement", "refine"]

NUM_CHAINS = 32
TARGET_ACCEPTANCE = 0.8
LONGEST = np.pi  # of a trajectory, in the coordinates where the posterior is about as wide as 1
MOST_LEAPFROG = 64
BATCH = 25  # steps, at most: what the clock cannot interrupt
WARMUP = (5, 10, 25, 25, 25, 25, 25)  # steps; after each, step size and scale are set anew
FIRST_LOOK = 50  # kept steps after which R-hat is looked at first, and least that it takes
JITTER = 1e-6

_COMPILED: set[Any] = set()  # models and shapes; what JAX keeps of them lives as long


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long to refine one dataset, and when it has converged.

    Attributes:
        seconds: Wall time for one dataset, compilation excluded.
        min_ess: Least bulk and tail effective sample size of every scalar latent.
        max_r_hat: Largest rank-normalised R-hat.
        max_divergent: Largest share of divergent transitions.
        most_steps: Kept steps per chain at which to give up whatever the clock says.
    """

    seconds: float = 30.0
    min_ess: float = 400.0
    max_r_hat: float = 1.01
    max_divergent: float = 0.01
    most_steps: int = 5000


@dataclasses.dataclass(frozen=True, eq=False)
class Refinement:
    """What came of it.

    Attributes:
        z: Unconstrained draws, shape `(chain, step, latent)`; no step if time ran out before.
        max_r_hat: Largest rank-normalised R-hat of the active latents; NaN without enough steps.
        min_ess: Smallest of bulk and tail effective sample sizes; 0 without enough steps.
        divergent: Share of divergent transitions.
        seconds: Wall time.
        problems: Why it may not be relied on, in full sentences; empty if it converged.
        looking: Seconds that these diagnostics took.
    """

    z: np.ndarray
    max_r_hat: float
    min_ess: float
    divergent: float
    seconds: float
    problems: tuple[str, ...]
    looking: float = 0.0


class _Chains(eqx.Module):
    """Chains in whitened coordinates.

    Attributes:
        states: Of HMC, one for each chain.
        log_step: Of the step size.
        loc: $m$.
        factor: $C$, lower-triangular.
    """

    states: Any
    log_step: Float[Array, ""]
    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]


def refine(
    problem: Problem,
    dataset: Dataset,
    mask: Bool[Array, " latent"],
    z: Float[np.ndarray, "draw latent"],
    log_weights: Float[np.ndarray, " draw"],
    rng_key: PRNGKeyArray,
    budget: Budget | None = None,
) -> Refinement:
    """Samples one dataset's posterior from where q left off.

    Args:
        problem: The model.
        dataset: Padded dataset.
        mask: True for active latents.
        z: Unconstrained draws of q.
        log_weights: Their normalised importance weights, healthy or not.
        rng_key: Consumed here.
        budget: Time and what to reach; 30 seconds if None.
    """
    budget = budget or Budget()
    started = time.perf_counter()
    clock = _Clock(started + budget.seconds)
    key_start, key_run = random.split(rng_key)
    chains = _start(problem, dataset, mask, jnp.asarray(z), jnp.asarray(log_weights, jnp.float32), key_start)
    run = partial(_advance, problem, dataset, mask)

    def advance(chains: _Chains, number: int, key: Array) -> tuple[_Chains, np.ndarray, np.ndarray, float] | None:
        """Some steps, if there is time for them."""
        if not clock.allows(number):
            return None
        began = time.perf_counter()
        chains, positions, acceptance, divergent = run(chains, key, jnp.asarray(number))
        found = np.asarray(positions)[:number], np.asarray(acceptance)[:number], float(divergent)
        clock.learn(number, time.perf_counter() - began)
        return chains, *found

    steps = iter(random.split(key_run, len(WARMUP) + budget.most_steps))
    for turn, number in enumerate(WARMUP):
        found = advance(chains, number, next(steps))
        if found is None:
            return _ended(mask, np.zeros((0, NUM_CHAINS, len(mask))), 0.0, started, budget)
        chains, positions, acceptance, _ = found
        gain = 2.0 / (1.0 + 0.5 * turn)
        chains = _adapt(
            problem,
            dataset,
            mask,
            chains,
            jnp.asarray(positions),
            jnp.asarray(acceptance.mean()),
            jnp.asarray(gain),
            jnp.asarray(turn >= 2),
        )

    kept: list[np.ndarray] = []
    divergences: list[float] = []
    result = _ended(mask, np.zeros((0, NUM_CHAINS, len(mask))), 0.0, started, budget)
    next_look = FIRST_LOOK
    while len(kept) * BATCH < budget.most_steps:
        found = advance(chains, BATCH, next(steps))
        if found is not None:
            chains, positions, _, divergent = found
            kept.append(_to_latents(chains, positions))
            divergences.append(divergent)
        if kept and (found is None or len(kept) * BATCH >= next_look):
            result = _ended(mask, np.concatenate(kept), float(np.mean(divergences)), started, budget)
            next_look = 1.3 * len(kept) * BATCH  # looking takes time, too
            clock.keep(1.3 * result.looking)
        if found is None or not result.problems:
            break
    return result


def compile_refinement(
    problem: Problem, dataset: Dataset, mask: Bool[Array, " latent"], z: Float[np.ndarray, "draw latent"]
) -> None:
    """Compiles all that `refine` runs on arguments of these shapes, so that none of it falls into a budget.

    The first call runs a short refinement; later ones with the same shapes do nothing.
    """
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((dataset, z)))
    if (problem, shapes) not in _COMPILED:
        equal = np.full(len(z), -np.log(len(z)))
        refine(problem, dataset, mask, z, equal, random.key(0), Budget(seconds=np.inf, most_steps=FIRST_LOOK))
        _COMPILED.add((problem, shapes))


class _Clock:
    """Seconds per step so far, the slowest counted, and the time until which steps may run."""

    def __init__(self, until: float):
        self.until, self.per_step, self.kept = until, 0.0, 0.0

    def allows(self, number: int) -> bool:
        return time.perf_counter() + number * self.per_step + self.kept < self.until

    def keep(self, seconds: float) -> None:
        """Keeps some seconds at the end for another look."""
        self.kept = seconds

    def learn(self, number: int, seconds: float) -> None:
        self.per_step = max(seconds / number, 0.5 * self.per_step)


def _kernel() -> Any:
    from blackjax import hmc  # here, since it takes a second

    return hmc.build_kernel(), hmc.init


def _target(problem: Problem, dataset: Dataset, mask: Array, loc: Array, factor: Array) -> Any:
    def log_density(x: Array) -> Array:
        z = jnp.where(mask, loc + factor @ x, 0.0)
        value = problem.log_joint(z, dataset) - 0.5 * jnp.sum(jnp.where(mask, 0.0, jnp.square(x)))
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    return log_density


@eqx.filter_jit
def _start(problem: Problem, dataset: Dataset, mask: Array, z: Array, log_weights: Array, rng_key: Array) -> _Chains:
    """Chains at draws that are resampled by weight, and the scale of all draws."""
    weights = jnp.exp(log_weights)
    # With few effective draws the weighted covariance is singular: then q's own scale serves.
    enough = 1.0 / jnp.sum(jnp.square(weights)) > 5.0 * mask.size
    weights = jnp.where(enough, weights, 1.0 / len(weights))
    loc, factor = _scale(z, weights, mask)
    chosen = z[random.categorical(rng_key, log_weights, shape=(NUM_CHAINS,))]
    return _restart(problem, dataset, mask, chosen, loc, factor, jnp.log(0.5) * jnp.ones(()))


def _restart(
    problem: Problem, dataset: Dataset, mask: Array, z: Array, loc: Array, factor: Array, log_step: Array
) -> _Chains:
    x = jax.scipy.linalg.solve_triangular(factor, (z - loc).T, lower=True).T
    _, init = _kernel()
    states = vmap(lambda at: init(at, _target(problem, dataset, mask, loc, factor)))(jnp.where(mask, x, 0.0))
    return _Chains(states, log_step, loc, factor)


def _scale(z: Array, weights: Array, mask: Array) -> tuple[Array, Array]:
    loc = weights @ z
    gaps = (z - loc) * jnp.sqrt(weights)[:, None]
    both = mask[:, None] & mask[None, :]
    covariance = jnp.where(both, gaps.T @ gaps, jnp.eye(mask.size))
    size = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-12))
    scaled = covariance / size[:, None] / size[None, :]
    factor = jnp.linalg.cholesky(scaled + JITTER * jnp.eye(mask.size))
    factor = jnp.where(jnp.all(jnp.isfinite(factor)), factor, jnp.eye(mask.size))
    return jnp.where(mask, loc, 0.0), size[:, None] * factor


@eqx.filter_jit
def _advance(
    problem: Problem, dataset: Dataset, mask: Array, chains: _Chains, rng_key: Array, number: Array
) -> tuple[_Chains, Array, Array, Array]:
    """`number` steps of all chains: positions and acceptance by step, and the share of divergent transitions."""
    kernel, _ = _kernel()
    target = _target(problem, dataset, mask, chains.loc, chains.factor)
    step_size, unit = jnp.exp(chains.log_step), jnp.ones(mask.size)

    def step(t: Array, carry: Any) -> Any:
        states, positions, acceptance, divergent = carry
        key_length, key_chains = random.split(random.fold_in(rng_key, t))
        length = random.uniform(key_length, minval=0.0, maxval=LONGEST)
        leapfrog = jnp.clip(jnp.ceil(length / step_size), 1, MOST_LEAPFROG).astype(int)
        states, info = vmap(lambda key, state: kernel(key, state, target, step_size, unit, leapfrog))(
            random.split(key_chains, NUM_CHAINS), states
        )
        positions = positions.at[t].set(states.position)
        acceptance = acceptance.at[t].set(jnp.mean(info.acceptance_rate))
        return states, positions, acceptance, divergent + jnp.mean(info.is_divergent)

    carry = (chains.states, jnp.zeros((BATCH, NUM_CHAINS, mask.size)), jnp.zeros(BATCH), jnp.zeros(()))
    states, positions, acceptance, divergent = lax.fori_loop(0, number, step, carry)
    return eqx.tree_at(lambda c: c.states, chains, states), positions, acceptance, divergent / number


@eqx.filter_jit
def _adapt(
    problem: Problem, dataset: Dataset, mask: Array, chains: _Chains, positions: Array, acceptance: Array, gain: Array,
    rescale: Array,
) -> _Chains:  # fmt: skip
    """A new step size, and where `rescale` says so a new scale, from what all chains saw."""
    log_step = chains.log_step + gain * (acceptance - TARGET_ACCEPTANCE)
    z = chains.loc + jnp.reshape(positions, (-1, mask.size)) @ chains.factor.T
    loc, factor = _scale(z, jnp.full(len(z), 1.0 / len(z)), mask)
    loc, factor = jnp.where(rescale, loc, chains.loc), jnp.where(rescale, factor, chains.factor)
    last = chains.loc + chains.states.position @ chains.factor.T
    return _restart(problem, dataset, mask, last, loc, factor, log_step)


def _to_latents(chains: _Chains, positions: np.ndarray) -> np.ndarray:
    return np.asarray(chains.loc) + positions @ np.asarray(chains.factor).T


def _ended(mask: Array, z: np.ndarray, divergent: float, started: float, budget: Budget) -> Refinement:
    """Diagnoses steps `(step, chain, latent)`."""
    from arviz_stats.base.array import array_stats  # here, since it takes a second

    began = time.perf_counter()
    z = np.moveaxis(z, 0, 1)
    if z.shape[1] < FIRST_LOOK:
        problem = f"No refined draws within {budget.seconds:g} s: the time ended before the chains had settled."
        return Refinement(z, np.nan, 0.0, divergent, began - started, (problem,))
    active = z[:, :, np.asarray(mask)].astype(np.float64)
    r_hat = float(np.max(array_stats.rhat(active, chain_axis=0, draw_axis=1)))
    bulk = array_stats.ess(active, chain_axis=0, draw_axis=1)
    tail = array_stats.ess(active, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))
    ess = float(min(np.min(bulk), np.min(tail)))
    problems = []
    if not r_hat <= budget.max_r_hat:
        problems.append(f"R-hat of the refined chains is {r_hat:.3f}, above {budget.max_r_hat:g}: they disagree.")
    if not ess >= budget.min_ess:
        problems.append(f"Effective sample size of the refined chains is {ess:.0f}, below {budget.min_ess:g}.")
    if divergent > budget.max_divergent:
        problems.append(
            f"{divergent:.1%} of the refined transitions diverged, above {budget.max_divergent:.0%}: parts of the "
            "posterior are too narrow to be reached."
        )
    now = time.perf_counter()
    return Refinement(z, r_hat, ess, divergent, now - started, tuple(problems), now - began)
