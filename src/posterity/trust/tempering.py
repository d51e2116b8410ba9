r"""Tempering: from a widened q to the posterior in steps small enough to carry the weight of every mode along.

Chains that start in different modes stay there, and their R-hat says so. Sequential Monte Carlo (Del Moral et al. 2006)
moves particles through

$$p_t(z) \propto b(z)^{1 - t}\, p(z, D)^t, \quad t = 0 \to 1, \qquad b = N(m, s^2 C C'),$$

$m$ and $C C'$ those of q's draws. Each stage goes as far as leaves half of the particles effective, resamples, and
moves all of them by HMC. Islands of particles do so side by side and share nothing but $t$ and the scale, so that they
can be compared like chains: if their draws agree, so does the weight that each gave to every mode.
"""

import dataclasses
from functools import partial
from itertools import islice

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.runtime.compile import filter_jit, jit
from posterity.trust import hmc
from posterity.trust.powers import finite_weights, largest_power
from posterity.trust.refinement import Budget, Clock, Refinement, diagnose, successive_keys, unsettled
from posterity.trust.target import AbstractTarget, Target

__all__ = ["FEWEST_STAGES", "MOVES", "NUM_ISLANDS", "NUM_PARTICLES", "compile_tempering", "temper"]

NUM_ISLANDS, NUM_PARTICLES = 8, 256
WIDER = 1.5  # than q's draws is the Gaussian that particles start from
SHARE = 0.5  # of the particles that each stage leaves effective
MOVES = 5  # steps of HMC in each stage
FEWEST_STAGES = 10  # that it takes as a rule
MOST_STAGES, MOST_ROUNDS = 300, 32  # of both together; of moves after the last stage
FIRST_STEP = 0.3


class Particles(eqx.Module):
    """Islands on their way.

    Attributes:
        z: Particles.
        reached: $t$.
        log_step: Of the step size of HMC.
        divergent: Share of divergent transitions in the last moves.
        log_density: Of the tempered target where they are.
    """

    z: Float[Array, "island particle latent"]
    reached: Float[Array, ""]
    log_step: Float[Array, ""]
    divergent: Float[Array, ""]
    log_density: Float[Array, "island particle"]


class Base(eqx.Module):
    """The Gaussian that particles start from.

    Attributes:
        loc: $m$.
        factor: $s C$, lower-triangular.
    """

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]

    def log_prob(self, z: Float[Array, " latent"], mask: Bool[Array, " latent"]) -> Float[Array, ""]:
        """Log density over active latents, up to a constant."""
        white = jax.scipy.linalg.solve_triangular(self.factor, jnp.where(mask, z - self.loc, 0.0), lower=True)
        return -0.5 * jnp.sum(jnp.square(white))


class Tempered(AbstractTarget):
    """One step on the way.

    Attributes:
        target: The posterior.
        base: Where the way begins.
        reached: $t$.
        mask: True for active latents.
    """

    target: Target
    base: Base
    reached: Float[Array, ""]
    mask: Bool[Array, " latent"]

    def log_density(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        r"""$(1 - t) \log b(z) + t \log p(z, D)$."""
        return self.reached * self.target.log_density(z) + (1.0 - self.reached) * self.base.log_prob(z, self.mask)


def temper(target: Target, z: Float[np.ndarray, "draw latent"], rng_key: PRNGKeyArray, budget: Budget) -> Refinement:
    """Samples one dataset's posterior, several modes of it if there are.

    Args:
        target: The posterior.
        z: Unconstrained draws of q.
        rng_key: Consumed here.
        budget: Time, and what to reach.
    """
    clock = Clock(budget.seconds)
    key_start, key_stages = random.split(rng_key)
    base, particles = _start(target.mask, np.asarray(z, np.float32), key_start)
    stage, moves = partial(_stage, target, base), np.int32(MOVES)
    rounds: list[np.ndarray] = []
    divergent: list[float] = []
    most_rounds = min(MOST_ROUNDS, max(1, budget.most_steps // MOVES))
    found = unsettled("tempering", NUM_ISLANDS, len(target.mask), budget, clock.elapsed)
    in_time = True
    for key in islice(successive_keys(key_stages), min(MOST_STAGES, budget.most_steps)):
        in_time = clock.allows(1)
        if not in_time or len(rounds) == most_rounds:
            break
        there = float(particles.reached) >= 1.0
        particles = clock.run(1, partial(stage, particles, key, moves))
        if not there:
            continue
        rounds.append(np.asarray(particles.z))
        divergent.append(float(particles.divergent))
        if len(rounds) & (len(rounds) - 1) == 0:  # looking takes time: after 1, 2, 4, ... rounds
            # Draws of one particle, then of the next: resampling leaves its copies side by side.
            draws = np.reshape(np.stack(rounds, axis=2), (NUM_ISLANDS, -1, len(target.mask)))
            share = float(np.mean(divergent))
            judge = partial(diagnose, "tempering", draws, np.asarray(target.mask), share, budget, clock.elapsed)
            found = clock.look(judge)
            if not found.problems:
                break
    if found.has_draws and found.problems and not in_time:
        found = found.ended_by_clock(budget)
    ends = (np.asarray(particles.z)[:, 0], np.asarray(particles.log_density)[:, 0]) if rounds else None
    return dataclasses.replace(found, ends=ends, seconds=clock.elapsed)


def compile_tempering(target: Target, z: Float[np.ndarray, "draw latent"]) -> None:
    """Compiles all that `temper` will call: on the target itself, and without a single move.

    Args:
        target: The posterior.
        z: Draws of q.
    """
    base, particles = _start(target.mask, np.asarray(z, np.float32), random.key(0))
    _stage(target, base, particles, random.key(0), np.int32(0))


@partial(jit, effort="moderate")
def _start(mask: Array, z: Array, rng_key: Array) -> tuple[Base, Particles]:
    loc, factor = hmc.scale_of(z, jnp.full(len(z), 1.0 / len(z)), mask)
    base = Base(loc, WIDER * factor)
    noise = random.normal(rng_key, (NUM_ISLANDS, NUM_PARTICLES, mask.size))
    drawn = jnp.where(mask, base.loc + noise @ base.factor.T, 0.0)
    zero, log_step = jnp.zeros(()), jnp.log(FIRST_STEP) * jnp.ones(())
    return base, Particles(drawn, zero, log_step, zero, jnp.zeros(drawn.shape[:2]))


@partial(filter_jit, effort="moderate")
def _stage(target: Target, base: Base, particles: Particles, rng_key: Array, moves: Array) -> Particles:
    """One step of $t$, resampling, and `MOVES` moves; moves alone once $t$ is 1."""
    key_resample, key_move = random.split(rng_key)

    def log_ratio(z: Array) -> Array:
        value = target.log_density(z) - base.log_prob(z, target.mask)
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    ratios = vmap(vmap(log_ratio))(particles.z)
    reached = particles.reached + largest_power(ratios, SHARE * NUM_PARTICLES, 1.0 - particles.reached)
    weights = jax.nn.softmax(
        jnp.where(reached > particles.reached, reached - particles.reached, 0.0) * finite_weights(ratios)
    )
    z = vmap(_resample)(random.split(key_resample, NUM_ISLANDS), weights, particles.z)
    z = jnp.where(reached > particles.reached, z, particles.z)

    tempered = Tempered(target=target, base=base, reached=reached, mask=target.mask)
    together = jnp.reshape(z, (-1, len(target.mask)))
    scale = hmc.scale_of(together, jnp.full(len(together), 1.0 / len(together)), target.mask)
    chains = hmc.start(tempered, together, scale, particles.log_step)
    chains, seen = hmc.advance(tempered, chains, key_move, moves, MOVES)
    log_step = hmc.next_step_size(particles.log_step, seen.acceptance, 1.0)
    log_density = jnp.reshape(chains.log_density(target.mask), particles.z.shape[:2])
    return Particles(jnp.reshape(chains.z, particles.z.shape), reached, log_step, seen.divergent, log_density)


def _resample(
    rng_key: Array, weights: Float[Array, " particle"], z: Float[Array, "particle latent"]
) -> Float[Array, "particle latent"]:
    from blackjax.smc.resampling import systematic  # here, since it takes a second

    return z[systematic(rng_key, weights, len(z))]
