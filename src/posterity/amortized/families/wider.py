r"""The defensive share of a posterior's draws, wider than q, and the density of the mixture that all draws are from.

$$\tilde q(e) = (1 - \delta)\, N(e; 0, I) + \delta\, w(e)\, v(\tau), \quad \delta = 0.1$$

in the coordinates $e$ in which q is standard normal (Hesterberg 1995). Half of $w$ stretches all latents together, to
1.5, 3 and 10 times as wide; the other half stretches a single one threefold. Where a posterior reaches further than
q, no draw would otherwise get there, and weights that never saw the tail look healthy; where it does not, they cost
little.
Densities of scales $\tau$ are spread evenly over each quarter of q, up to 5 standard deviations out.
"""

from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.noise import NUM_BLOCKS, REACH, BaseNoise

__all__ = ["log_wider", "log_wider_scales", "stretched"]

TOGETHER = np.array([1.5, 3.0, 10.0], np.float32)  # widths of all latents at once
ALONE = 3.0  # width of one of them


def stretched(noise: BaseNoise, mask: Bool[Array, " latent"]) -> Float[Array, "draw latent"]:
    """The normal numbers of all draws, those of the wider ones stretched; 0 for inactive latents.

    Args:
        noise: Base noise.
        mask: True for active latents.
    """
    count = jnp.cumsum(mask)
    together, alone = 2.0 * noise.stretch, 2.0 * noise.stretch - 1.0  # in (0, 1) for those that are stretched so
    width = jnp.asarray(TOGETHER)[jnp.clip(jnp.floor(together * TOGETHER.size).astype(int), 0, TOGETHER.size - 1)]
    width = jnp.where((together >= 0.0) & (together < 1.0), width, 1.0)
    which = jnp.searchsorted(count, jnp.floor(alone * count[-1]) + 1)
    chosen = (jnp.arange(mask.size) == which[:, None]) & (alone >= 0.0)[:, None]
    return jnp.where(mask, noise.normal, 0.0) * jnp.where(chosen, ALONE, width[:, None])


def log_wider(
    normal: Float[Array, "draw latent"],
    mask: Bool[Array, " latent"],
    of_scales: Float[Array, " draw"] | float = 0.0,
) -> Float[Array, " draw"]:
    r"""$\log w(e) v(\tau) - \log q(e, \tau)$ in nats.

    Args:
        normal: $e$, 0 for inactive latents.
        mask: True for active latents.
        of_scales: $\log v(\tau) - \log q(\tau)$.
    """
    count = jnp.sum(mask)
    squares = jnp.square(normal)
    gains = 0.5 * (1.0 - TOGETHER**-2) * jnp.sum(squares, axis=1, keepdims=True) - count * np.log(TOGETHER)
    together = jax.nn.logsumexp(gains, axis=1) - np.log(TOGETHER.size)
    gains = jnp.where(mask, 0.5 * (1.0 - ALONE**-2) * squares, -jnp.inf)
    alone = jnp.where(count > 0, jax.nn.logsumexp(gains, axis=1) - jnp.log(ALONE * jnp.maximum(count, 1)), 0.0)
    return jnp.logaddexp(together, alone) - np.log(2.0) + of_scales


def log_wider_scales(scores: Float[Array, "draw scale"]) -> Float[Array, " draw"]:
    r"""$\log v(\tau) - \log q(\tau)$ of scales whose standard normal scores are given, in nats."""
    inner = NormalDist().inv_cdf(0.75)
    log_even = jnp.where(jnp.abs(scores) < inner, -np.log(NUM_BLOCKS * inner), -np.log(NUM_BLOCKS * (REACH - inner)))
    log_normal = -0.5 * jnp.square(scores) - 0.5 * np.log(2.0 * np.pi)
    gains = jnp.where(jnp.abs(scores) < REACH, log_even - log_normal, -jnp.inf)
    kinds = [jnp.zeros(len(scores)), jnp.sum(gains, axis=1)]
    if scores.shape[1] > 1:
        kinds.append(jax.nn.logsumexp(gains, axis=1) - np.log(scores.shape[1]))
    return jax.nn.logsumexp(jnp.stack(kinds), axis=0) - np.log(len(kinds))
