r"""Densities of scale latents: straight log densities on a line, and their product along the axes of several scales.

A log scale has exponential tails, which no Gaussian and no power has; lines that fall straight beyond the last knot do.
Several scales are rotated and stretched to axes along which the product of such densities is close to their own.
"""

import equinox as eqx
import jax.numpy as jnp
from jax import vmap
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

__all__ = ["AxesDensity", "PiecewiseDensity", "knot_weights"]

LOWEST = 60.0  # nats below the peak beyond which a density counts as this low: exponentials stay finite in float32
LEAST_SLOPE = 0.1  # of the tails, in nats per knot: they must fall
LEAST_SHARE = 1e-7  # of the mass on either side of a point, in float32


class PiecewiseDensity(eqx.Module):
    """A density on the line whose logarithm is straight between knots and beyond them.

    Attributes:
        knots: Ascending, evenly spaced.
        log_density: At the knots, in nats, normalised.
        slopes: Of the log density in the left tail, between the knots, in the right tail.
        masses: Probability of each of those stretches.
    """

    knots: Float[Array, " knot"]
    log_density: Float[Array, " knot"]
    slopes: Float[Array, " stretch"]
    masses: Float[Array, " stretch"]

    def __init__(self, knots: Float[Array, " knot"], log_density: Float[Array, " knot"]):
        """Normalises `log_density`; tails that would not fall are made to."""
        gaps = jnp.diff(knots)
        log_density = jnp.maximum(log_density - jnp.max(log_density), -LOWEST)
        inner = jnp.diff(log_density) / gaps
        least = LEAST_SLOPE / gaps[0]
        left, right = jnp.maximum(inner[0], least), jnp.minimum(inner[-1], -least)
        rise = inner * gaps
        between = jnp.exp(log_density[:-1]) * gaps * _expm1_over(rise)
        masses = jnp.concatenate([jnp.exp(log_density[:1]) / left, between, -jnp.exp(log_density[-1:]) / right])
        total = jnp.sum(masses)
        self.knots = knots
        self.log_density = log_density - jnp.log(total)
        self.slopes = jnp.concatenate([left[None], inner, right[None]])
        self.masses = masses / total

    def log_prob(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Log density in nats."""
        stretch = jnp.searchsorted(self.knots, x)
        base = jnp.maximum(stretch - 1, 0)
        return self.log_density[base] + self.slopes[stretch] * (x - self.knots[base])

    def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """Inverse of the distribution function, for `u` in (0, 1)."""
        ends = jnp.cumsum(self.masses)
        stretch = jnp.clip(jnp.searchsorted(ends, u), 0, self.masses.size - 1)
        share = jnp.clip((u - ends[stretch] + self.masses[stretch]) / self.masses[stretch], 1e-7, 1.0 - 1e-7)
        base = jnp.maximum(stretch - 1, 0)
        slope = self.slopes[stretch]
        gap = jnp.diff(self.knots)[jnp.clip(base, 0, self.knots.size - 2)]
        inner = self.knots[base] + gap * _log1p_expm1(share, slope * gap)
        left = self.knots[0] + jnp.log(share) / self.slopes[0]
        right = self.knots[-1] + jnp.log1p(-share) / self.slopes[-1]
        return jnp.where(stretch == 0, left, jnp.where(stretch == self.masses.size - 1, right, inner))

    def cdf(self, x: Float[Array, ""]) -> Float[Array, ""]:
        """Distribution function."""
        stretch = jnp.searchsorted(self.knots, x)
        base = jnp.maximum(stretch - 1, 0)
        gap = jnp.diff(self.knots)[jnp.clip(base, 0, self.knots.size - 2)]
        slope = self.slopes[stretch]
        distance = x - self.knots[base]
        inner = distance / gap * _expm1_over(slope * distance) / _expm1_over(slope * gap)
        share = jnp.where(stretch == 0, jnp.exp(slope * distance), inner)
        share = jnp.where(stretch == self.masses.size - 1, 1.0 - jnp.exp(slope * distance), share)
        return jnp.cumsum(self.masses)[stretch] - self.masses[stretch] * (1.0 - share)


def _expm1_over(x: Array) -> Array:
    """(e^x - 1) / x."""
    small = jnp.abs(x) < 1e-4
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1.0 + 0.5 * x, jnp.expm1(safe) / safe)


def _log1p_expm1(share: Array, rise: Array) -> Array:
    """log(1 + share (e^rise - 1)) / rise: where in a stretch a share of its mass ends."""
    small = jnp.abs(rise) < 1e-4
    safe = jnp.where(small, 1.0, rise)
    return jnp.where(small, share, jnp.log1p(share * jnp.expm1(safe)) / safe)


class AxesDensity(eqx.Module):
    r"""$\tau = c + A t$; $t_1$ has a density of its own, the other $t_j$ one that it shifts and stretches.

    $$t_j = m_j(t_1) + s_j(t_1)\, t_j'$$

    Where one scale may reach down to zero, what it scales stops to matter, and all else gets wider: a funnel.

    Attributes:
        centre: $c$.
        axes: $A$; its columns are the axes, the one with the longest tails first.
        inverse: $A^{-1}$.
        profiles: Of $t_1$ and of each $t_j'$; a leading axis runs along them.
        shifts: $m_j$ at the knots of the first profile; 0 for the first axis itself.
        log_stretches: $\log s_j$ there; 0 for the first axis itself.
    """

    centre: Float[Array, " scale"]
    axes: Float[Array, "scale axis"]
    inverse: Float[Array, "axis scale"]
    profiles: PiecewiseDensity
    shifts: Float[Array, "knot axis"]
    log_stretches: Float[Array, "knot axis"]

    def quantile(self, u: Float[Array, " axis"]) -> Float[Array, " scale"]:
        """The scales at independent uniform numbers in (0, 1), one for each axis."""
        inner = vmap(PiecewiseDensity.quantile)(self.profiles, u)
        shift, log_stretch = self._ridge(inner[0])
        return self.centre + self.axes @ (shift + jnp.exp(log_stretch) * inner)

    def normal_scores(self, scales: Float[Array, " scale"]) -> Float[Array, " axis"]:
        """What a standard normal would have to be for these scales to come of it."""
        shares = vmap(PiecewiseDensity.cdf)(self.profiles, self._inner(scales)[0])
        return ndtri(jnp.clip(shares, LEAST_SHARE, 1.0 - LEAST_SHARE))

    def log_prob(self, scales: Float[Array, " scale"]) -> Float[Array, ""]:
        """Log density in nats."""
        inner, log_stretch = self._inner(scales)
        along = vmap(PiecewiseDensity.log_prob)(self.profiles, inner)
        return jnp.sum(along - log_stretch) + jnp.linalg.slogdet(self.inverse)[1]

    def _inner(self, scales: Array) -> tuple[Float[Array, " axis"], Float[Array, " axis"]]:
        """$t'$, and the logarithms of what it was stretched by."""
        along = self.inverse @ (scales - self.centre)
        shift, log_stretch = self._ridge(along[0])
        return (along - shift) * jnp.exp(-log_stretch), log_stretch

    def _ridge(self, first: Float[Array, ""]) -> tuple[Float[Array, " axis"], Float[Array, " axis"]]:
        """Shifts and log stretches, straight between the knots and constant beyond."""
        weights = knot_weights(self.profiles.knots[0], first)
        return weights @ self.shifts, weights @ self.log_stretches


def knot_weights(knots: Float[Array, " knot"], x: Float[Array, ""]) -> Float[Array, " knot"]:
    """Weights of linear interpolation between evenly spaced knots; beyond them, the last knot's."""
    place = jnp.clip((x - knots[0]) / (knots[1] - knots[0]), 0.0, knots.size - 1.0)
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(knots.size)))
