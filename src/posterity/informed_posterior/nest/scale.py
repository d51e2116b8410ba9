r"""Scale latents: q(scale) q(rest | scale), the rest anchored anew along a grid of scales.

A latent $\tau$ that scales others (a noise sd, a dispersion, the spread of group effects) bends the posterior into a
funnel that no single anchor follows. Given $\tau$, the rest has an anchor, and with it a bound on the evidence
$\log p(D, \tau)$; these bounds at the knots of a grid, joined by straight lines, are $\log q(\tau)$. Between knots,
the anchor's location and scale are interpolated linearly, so $q(\text{rest} \mid \tau)$ is exact wherever the rest is
Gaussian, up to that interpolation.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import vmap
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from posterity.amortized.families.base import standard_normal_log_prob
from posterity.informed_posterior.anchor.anchor import Anchor, spread_of
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.noise import NUM_BLOCKS, AbstractNoisePosterior, BaseNoise
from posterity.runtime.compile import jit, while_loop

__all__ = ["NUM_KNOTS", "PiecewiseDensity", "ScaledPosterior", "block_scales", "find_grids", "scaled_posterior"]

NUM_KNOTS, NUM_ROUNDS = 13, 4
UNKNOWN = -1e30  # log density, in nats, where none can be had
WIDEST = 12.0  # the first grid reaches from -12 to 12: from e^-12 to e^12 for a positive latent
FARTHEST = 18.0  # no grid goes beyond: squares of e^18 and e^-18 still leave float32 some room
DEPTH = 9.0  # nats below the peak at which a grid ends: 4.2 standard deviations of a normal
LOWEST = 60.0  # nats below the peak beyond which a density counts as this low: exponentials stay finite in float32
LEAST_SLOPE = 0.1  # of the tails, in nats per knot: they must fall


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


class ScaledPosterior(AbstractNoisePosterior):
    r"""q of all latents: $\tau$ first, then the rest given $\tau$.

    Draws are stratified over $\tau$: each by itself is a draw from q, and together they cover it evenly.

    Attributes:
        scale: q of $\tau$.
        locs: Location of the rest at each knot.
        spreads: Upper-triangular $L^{-\top}$ at each knot.
        maps: How the rest is bent, for equally probable blocks of $\tau$; a leading axis runs along them.
        where: Coordinate of `z` that is $\tau$.
        mask: True for active latents, $\tau$ included.
    """

    scale: PiecewiseDensity
    locs: Float[Array, "knot latent"]
    spreads: Float[Array, "knot latent latent"]
    maps: RowMap
    where: Int[Array, ""]
    mask: Bool[Array, " latent"]

    def from_noise(self, noise: BaseNoise) -> tuple[Float[Array, "draw latent"], Float[Array, " draw"]]:
        """Draws with their log densities; the first uniform numbers become the scale."""
        total = noise.uniform.shape[0]
        num_blocks = self.maps.leverage.shape[0]
        tau = self.scale.quantile(noise.uniform[:, 0])
        rest = self.maps.mask[0]
        normal = jnp.where(rest, noise.normal, 0.0)
        u, bent = vmap(RowMap.transform_many)(self.maps, jnp.reshape(normal, (num_blocks, -1, rest.size)))
        log_q = vmap(standard_normal_log_prob, in_axes=(0, None))(normal, rest)
        weights = vmap(self._knot_weights)(tau)
        u = jnp.reshape(u, (total, -1))
        moved = sum(weights[:, k, None] * (u @ self.spreads[k].T) for k in range(weights.shape[1]))
        widths = jnp.log(weights @ jnp.diagonal(self.spreads, axis1=1, axis2=2))
        log_q = log_q - jnp.reshape(bent, total) - jnp.sum(jnp.where(rest, widths, 0.0), axis=1)
        z = jnp.where(rest, weights @ self.locs + moved, 0.0).at[:, self.where].set(tau)
        return z, log_q + self.scale.log_prob(tau)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of the active entries of `z`, in nats."""
        z = jnp.where(self.mask, z, 0.0)
        tau, rest = z[self.where], self.maps.mask[0]
        num_blocks = self.maps.leverage.shape[0]
        block = jnp.clip(jnp.floor(self.scale.cdf(tau) * num_blocks), 0, num_blocks - 1).astype(int)
        weights = self._knot_weights(tau)
        spread = jnp.tensordot(weights, self.spreads, 1)
        u = solve_triangular(spread, jnp.where(rest, z - weights @ self.locs, 0.0), lower=False)
        row_map = jax.tree.map(lambda leaf: leaf[block], self.maps)
        widths = jnp.where(rest, jnp.log(jnp.diagonal(spread)), 0.0)
        return self.scale.log_prob(tau) + row_map.log_prob(u) - jnp.sum(widths)

    def of_size(self, size: int) -> "ScaledPosterior":
        """The same without padding."""
        return dataclasses.replace(
            self,
            locs=self.locs[:, :size],
            spreads=self.spreads[:, :size, :size],
            maps=self.maps.of_size(size),
            mask=self.mask[:size],
        )

    def _knot_weights(self, tau: Float[Array, ""]) -> Float[Array, " knot"]:
        """Weights of linear interpolation between knots; beyond them, the last knot's."""
        knots = self.scale.knots
        place = jnp.clip((tau - knots[0]) / (knots[1] - knots[0]), 0.0, knots.size - 1.0)
        return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(knots.size)))


Look = Callable[
    [Float[Array, "dataset knot"], Float[Array, "dataset knot latent"]],
    tuple[Anchor, Float[Array, "dataset knot"]],
]


def find_grids(
    rough: Look, fine: Look, start: Float[Array, "dataset latent"]
) -> tuple[Float[Array, "dataset knot"], Anchor, Float[Array, "dataset knot"]]:
    """Evenly spaced knots over all that matters of each dataset's scale, with anchors and log densities there.

    Args:
        rough: `(scales, starts)` -> anchors, searched for from the starts too, and the log densities of the scales up
            to a constant; -inf or NaN where they cannot be had.
        fine: The same with more care, for the last grid.
        start: Where to look first.
    """
    num_datasets = start.shape[0]

    def everywhere(start: Array) -> Array:
        return jnp.broadcast_to(start[:, None], (num_datasets, NUM_KNOTS, start.shape[1]))

    def closer(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        knots, start, count = carry
        return *_narrowed(knots, *rough(knots, everywhere(start))), count + 1

    widest = jnp.broadcast_to(jnp.linspace(-WIDEST, WIDEST, NUM_KNOTS), (num_datasets, NUM_KNOTS))
    knots, start, _ = while_loop(lambda carry: carry[2] < NUM_ROUNDS - 1, closer, (widest, start, jnp.asarray(0)))
    anchors, values = fine(knots, everywhere(start))
    return knots, anchors, jnp.where(jnp.isfinite(values), values, UNKNOWN)


@partial(jit, effort="moderate")
@vmap
def _narrowed(knots: Array, anchors: Anchor, values: Array) -> tuple[Array, Array]:
    """Knots of the next grid, and where the best anchor of this one is."""
    values = jnp.where(jnp.isfinite(values), values, UNKNOWN)
    return jnp.linspace(*_ends(knots, values), NUM_KNOTS), anchors.loc[jnp.argmax(values)]


def _ends(knots: Array, values: Array) -> tuple[Array, Array]:
    """Where the values have fallen `DEPTH` below their peak, between or beyond the knots."""
    best = jnp.argmax(values)
    level = values[best] - DEPTH
    gap = knots[1] - knots[0]
    index = jnp.arange(knots.size)
    low = jnp.max(jnp.where((index < best) & (values < level), index, -1))
    high = jnp.min(jnp.where((index > best) & (values < level), index, knots.size))

    def crossing(outer: Array, inner: Array) -> Array:
        """Where a parabola that falls like this from `inner` is low enough; all of `outer` next to the peak.

        Between the highest knot and its neighbours the peak itself may hide.
        """
        share = jnp.sqrt((values[inner] - level) / jnp.maximum(values[inner] - values[outer], 1e-6))
        share = jnp.where(inner == best, 1.0, jnp.clip(share, 0.0, 1.0))
        return knots[inner] + (knots[outer] - knots[inner]) * share

    left = jnp.where(low >= 0, crossing(jnp.maximum(low, 0), low + 1), jnp.maximum(knots[0] - 2.0 * gap, -FARTHEST))
    last = knots.size - 1
    right = jnp.where(
        high <= last, crossing(jnp.minimum(high, last), high - 1), jnp.minimum(knots[-1] + 2.0 * gap, FARTHEST)
    )
    return left, right


@partial(jit, effort="moderate")
@vmap
def block_scales(knots: Array, values: Array, anchors: Anchor) -> tuple[Array, Array]:
    """Scales in the middle of equally probable blocks, repeated to as many as there are knots; the nearest anchors."""
    blocks = (jnp.arange(NUM_KNOTS) % NUM_BLOCKS + 0.5) / NUM_BLOCKS
    scales = PiecewiseDensity(knots, values).quantile(blocks)
    return scales, anchors.loc[jnp.argmin(jnp.abs(knots - scales[:, None]), axis=1)]


@partial(jit, effort="moderate")
def scaled_posterior(
    knots: Float[Array, "dataset knot"],
    values: Float[Array, "dataset knot"],
    anchors: Anchor,
    maps: RowMap | None,
    rest: Bool[Array, "dataset_times_knot latent"],
    where: Int[Array, ""],
) -> ScaledPosterior:
    """Posteriors of datasets with one scale latent.

    Args:
        knots: Of the grids.
        values: Log density of the scale there, up to a constant, in nats.
        anchors: Of the rest there.
        maps: How the rest is bent in each block, as many to a dataset as knots, of which the last repeat others. None
            where the rest is Gaussian.
        rest: True for the active latents but the scale; as many to a dataset as knots.
        where: Coordinate of the scale latent.
    """
    num_datasets, num_knots = knots.shape
    by_dataset = jnp.reshape(rest, (num_datasets, num_knots, -1))

    def one(knots: Array, values: Array, anchors: Anchor, maps: RowMap, rest: Array) -> ScaledPosterior:
        density = PiecewiseDensity(knots, values)
        mask = rest | (jnp.arange(rest.size) == where)
        spreads = vmap(spread_of)(anchors.factor)
        return ScaledPosterior(scale=density, locs=anchors.loc, spreads=spreads, maps=maps, where=where, mask=mask)

    if maps is None:
        blocks = vmap(vmap(RowMap.straight))(by_dataset[:, :1])
    else:
        blocks = jax.tree.map(lambda leaf: jnp.reshape(leaf, (*knots.shape, *leaf.shape[1:]))[:, :NUM_BLOCKS], maps)
    return vmap(one)(knots, values, anchors, blocks, by_dataset[:, 0])
