r"""Many chains of HMC (BlackJAX) side by side, in coordinates where their target is about as wide in every direction.

Chains move in $x$ with $z = m + C x$, $m$ and $C C'$ mean and covariance of draws that stand for the target. There,
trajectories of random length up to $\pi$ cross it. All chains take the same number of leapfrog steps at a time, which
is what many chains on one machine are good at.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.trust.target import AbstractTarget

__all__ = ["Chains", "Scale", "Seen", "advance", "next_step_size", "scale_of", "shrunk", "start"]

TARGET_ACCEPTANCE = 0.8
LONGEST = np.pi  # of a trajectory, in the coordinates where the target is about as wide as 1
MOST_LEAPFROG = 64
JITTER = 1e-6
HALF_TRUST = 4  # draws for each latent at which a covariance counts as much as the one before it

Scale = tuple[Float[Array, " latent"], Float[Array, "latent latent"]]
"""$m$ and $C$."""


class Chains(eqx.Module):
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

    @property
    def z(self) -> Float[Array, "chain latent"]:
        """Where the chains are."""
        return self.to_latents(self.states.position)

    def log_density(self, mask: Bool[Array, " latent"]) -> Float[Array, " chain"]:
        """Of the target where the chains are, as their own program computed it."""
        return self.states.logdensity + 0.5 * jnp.sum(jnp.where(mask, 0.0, jnp.square(self.states.position)), axis=1)

    def to_latents(self, x: Float[Array, "*n latent"]) -> Float[Array, "*n latent"]:
        """$m + C x$ along the last axis."""
        return self.loc + x @ self.factor.T


class Seen(NamedTuple):
    """What some steps of all chains came to.

    Attributes:
        z: Where the chains were after each step; beyond the steps taken it means nothing.
        is_divergent: Which transitions diverged; False beyond the steps taken.
        acceptance: Mean acceptance rate of all steps.
        divergent: Share of divergent transitions.
    """

    z: Float[Array, "step chain latent"]
    is_divergent: Bool[Array, "step chain"]
    acceptance: Float[Array, ""]
    divergent: Float[Array, ""]


def start(
    target: AbstractTarget,
    z: Float[Array, "chain latent"],
    scale: Scale,
    log_step: Float[Array, ""],
) -> Chains:
    """Chains at given points.

    Args:
        target: What to sample; masked latents are moved like standard normals and count for nothing.
        z: The points.
        scale: $m$ and $C$.
        log_step: Of the step size.
    """
    loc, factor = scale
    x = jax.scipy.linalg.solve_triangular(factor, (z - loc).T, lower=True).T
    density = _in_coordinates(target, loc, factor)
    _, init = _kernel()
    states = vmap(lambda at: init(at, density))(jnp.where(target.mask, x, 0.0))
    return Chains(states, log_step, loc, factor)


def advance(
    target: AbstractTarget,
    chains: Chains,
    rng_key: PRNGKeyArray,
    number: Array | int,
    most: int,
    gain: Array | float = 0.0,
) -> tuple[Chains, Seen]:
    """Some steps of all chains.

    Args:
        target: What to sample.
        chains: Where they are.
        rng_key: Consumed here.
        number: Of steps.
        most: No more than these, which fixes the shapes.
        gain: How fast the step size follows the acceptance rate, step by step; 0 leaves it as it is.
    """
    kernel, _ = _kernel()
    density = _in_coordinates(target, chains.loc, chains.factor)
    num_chains, num_latents = chains.states.position.shape
    unit = jnp.ones(num_latents)

    def step(t: Array, carry: Any) -> Any:
        states, log_step, positions, divergent, acceptance = carry
        step_size = jnp.exp(log_step)
        key_length, key_chains = random.split(random.fold_in(rng_key, t))
        length = random.uniform(key_length, minval=0.0, maxval=LONGEST)
        leapfrog = jnp.clip(jnp.ceil(length / step_size), 1, MOST_LEAPFROG).astype(int)
        states, info = vmap(lambda key, state: kernel(key, state, density, step_size, unit, leapfrog))(
            random.split(key_chains, num_chains), states
        )
        positions = positions.at[t].set(states.position)
        accepted = jnp.mean(info.acceptance_rate)
        log_step = next_step_size(log_step, accepted, gain)
        return states, log_step, positions, divergent.at[t].set(info.is_divergent), acceptance + accepted

    nothing = jnp.zeros((most, num_chains, num_latents)), jnp.zeros((most, num_chains), bool), jnp.zeros(())
    carry = (chains.states, chains.log_step, *nothing)
    states, log_step, positions, divergent, acceptance = lax.fori_loop(0, number, step, carry)
    moved = Chains(states, log_step, chains.loc, chains.factor)
    share = jnp.sum(divergent) / (number * num_chains)
    return moved, Seen(chains.to_latents(positions), divergent, acceptance / number, share)


def next_step_size(log_step: Array, acceptance: Array, gain: Array | float) -> Array:
    """Longer steps if more than 80% are accepted, else shorter ones."""
    return log_step + gain * (acceptance - TARGET_ACCEPTANCE)


def scale_of(z: Float[Array, "draw latent"], weights: Float[Array, " draw"], mask: Bool[Array, " latent"]) -> Scale:
    """Weighted mean of draws and Cholesky factor of their covariance; the identity where that is singular."""
    loc = weights @ z
    gaps = (z - loc) * jnp.sqrt(weights)[:, None]
    both = mask[:, None] & mask[None, :]
    covariance = jnp.where(both, gaps.T @ gaps, jnp.eye(mask.size))
    size = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 1e-12))
    scaled = covariance / size[:, None] / size[None, :]
    factor = jnp.linalg.cholesky(scaled + JITTER * jnp.eye(mask.size))
    factor = jnp.where(jnp.all(jnp.isfinite(factor)), factor, jnp.eye(mask.size))
    return jnp.where(mask, loc, 0.0), size[:, None] * factor


def shrunk(new: Scale, number: Array | float, old: Scale) -> Scale:
    r"""The scale of a number of draws, shrunk towards the one before: $\Sigma = s \Sigma_1 + (1 - s) \Sigma_0$.

    Few draws, or draws of chains that hardly moved, have a covariance that is nearly singular in many dimensions, and
    chains in its coordinates would not move at all. $s = n / (n + 4 d)$ for $n$ draws of $d$ latents.
    """
    (loc, factor), (before, factor_before) = new, old
    share = number / (number + HALF_TRUST * loc.size)
    covariance = share * factor @ factor.T + (1.0 - share) * factor_before @ factor_before.T
    return share * loc + (1.0 - share) * before, jnp.linalg.cholesky(covariance)


def _kernel() -> Any:
    from blackjax import hmc  # here, since it takes a second

    return hmc.build_kernel(), hmc.init


def _in_coordinates(target: AbstractTarget, loc: Array, factor: Array) -> Callable[[Array], Array]:
    mask = target.mask

    def density(x: Array) -> Array:
        value = target.log_density(jnp.where(mask, loc + factor @ x, 0.0))
        value -= 0.5 * jnp.sum(jnp.where(mask, 0.0, jnp.square(x)))
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    return density
