r"""Where the scales of a dataset lie: axes along which their density is close to a product, and its profile on each.

`log p(D, tau)` can be had at any scales, up to what an anchor leaves; many at once cost little more than one. So the
search uses values alone. Wide profiles along the coordinates find the region; second differences over a step of about
one standard deviation find the peak and the axes; profiles along these close in until their ends are far enough below
the peak. Along the axis with the longest tails, a ridge is followed: where the others have their peak, and how wide
they are there. With one scale there are no axes to find.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Bool, Float, Int

from posterity.informed_posterior.nest.density import AxesDensity, PiecewiseDensity, knot_weights
from posterity.runtime.compile import jit, while_loop

__all__ = ["NUM_KNOTS", "Look", "find_density"]

NUM_KNOTS = 13
NUM_WIDE, NUM_NARROW, NUM_RIDGE = 2, 2, 3  # rounds
MOST_TURNED, CLOSE = 16, 0.3  # rounds; length of a step, in standard deviations, that ends them
NUM_WIDE_ONE = 3  # with one scale, where wide profiles are all there is
UNKNOWN = -1e30  # log density, in nats, where none can be had
WIDEST = 12.0  # the first profiles reach from -12 to 12: from e^-12 to e^12 for a positive latent
FARTHEST = 18.0  # no scale is looked at beyond: squares of e^18 and e^-18 still leave float32 some room
WIDEST_FAR, FARTHEST_FAR = 72.0, 120.0  # with 64 bits, where asked for: units from 1e-30 to 1e30
MOST_WIDE, NARROWED = 12, 0.5  # rounds with one scale; share of a profile that a round leaves where another is worth it
DEPTH = 9.0  # nats below the peak at which a profile ends: 4.2 standard deviations of a normal
WIDTH = 8.5  # standard deviations between the ends of a normal's profile
REACH = 6.0  # standard deviations from the peak to the ends of the first profile along an axis
LEAST_CURVED, MOST_CURVED = 0.02, 50.0  # of the log density, over steps that are thought to be one sd long
LONGEST_STEP = 2.0  # towards the peak, in standard deviations
LONGEST_AXIS = 3.0  # of a standard deviation, on the scale of logarithms
LONGEST_LEAP = 3.0  # to the ridge, in standard deviations across it
MOST_GAINED = 2.0  # nats that a step to the ridge may promise
MOST_STRETCHED = 4.0  # factor of the curvature across the ridge, from one round to the next
DEFENSIVE = 0.9  # power of the profiles of several scales
HIGHER = 0.25  # nats above the centre at which another point is the better one to look from
FALLEN = 1.0  # nats that a step may lose before it is taken back

Look = Callable[
    [Float[Array, "dataset point scale"], Float[Array, "dataset point latent"]],
    tuple[Float[Array, "dataset point latent"], Float[Array, "dataset point"]],
]


class Region(eqx.Module):
    """Where the search stands, for one dataset.

    Attributes:
        centre: Where the axes meet.
        axes: Their directions, in columns.
        ends: How far along each the profile reaches, in both directions.
        best: The best scales so far.
        value: Log density there, up to a constant.
        loc: Location of the rest there.
        count: Rounds of second differences so far.
        is_close: The last of them changed little.
        farthest: No scale is looked at beyond.
    """

    centre: Float[Array, "*dataset scale"]
    axes: Float[Array, "*dataset scale axis"]
    ends: Float[Array, "*dataset axis 2"]
    best: Float[Array, "*dataset scale"]
    value: Float[Array, "*dataset"]
    loc: Float[Array, "*dataset latent"]
    count: Int[Array, "*dataset"]
    is_close: Bool[Array, "*dataset"]
    farthest: Float[Array, "*dataset"]

    @property
    def is_turning(self) -> Bool[Array, "*dataset"]:
        """Whether another round is worth it."""
        return ~self.is_close & (self.count < MOST_TURNED)


def find_density(
    rough: Look,
    fine: Look,
    start: Float[Array, "dataset latent"],
    num_scales: int,
    *,
    is_far: bool = False,
    num_wide: int = NUM_WIDE,
) -> tuple[AxesDensity, Float[Array, "dataset latent"]]:
    """The density of each dataset's scales, and the rest's location at its peak.

    Args:
        rough: `(scales, starts)` -> anchors, searched for from the starts too, and the log densities of the scales up
            to a constant; -inf or NaN where they cannot be had.
        fine: The same with more care, for the last profiles.
        start: Where to look first.
        num_scales: Number of scales, at least 1.
        is_far: Whether to look from e^-72 to e^72. Not at first: there, many a density is nothing but rounding.
        num_wide: Rounds of wide profiles where there are several; each closes in sixfold.
    """
    num_datasets = len(start)

    def everywhere(region: Region, number: int) -> Array:
        return jnp.broadcast_to(region.loc[:, None], (num_datasets, number, start.shape[1]))

    def look(by: Look, region: Region, points: Array) -> tuple[Array, Array]:
        return by(points, everywhere(region, points.shape[1]))

    def closer(region: Region) -> Region:
        points = _on_axes(region)
        return _closer(region, points, *look(rough, region, points))

    region = _everywhere(num_scales, is_far, start)
    for _ in range((num_wide if num_scales > 1 else NUM_WIDE_ONE) + 2 * is_far):
        points = _on_axes(region)
        region = _narrowed(num_scales > 1, region, points, *look(rough, region, points))
    if num_scales == 1:
        if start.dtype == np.float64:  # asked for where posteriors may be narrow
            region = while_loop(lambda region: jnp.any(region.is_turning), closer, region)
        return _line_density(region, look(fine, region, _on_axes(region))[1]), region.loc

    def turned(region: Region) -> Region:
        points = _stencil(region)
        return _turned(region, points, *look(rough, region, points))

    region = _at_best(region)
    for _ in range(NUM_NARROW):
        region = while_loop(lambda region: jnp.any(region.is_turning), turned, region)
        points = _on_axes(region)
        region = _reopened(region, _narrowed(False, region, points, *look(rough, region, points)))
    region, ridge = _straight(region)
    for _ in range(NUM_RIDGE):
        region, ridge = _followed(region, ridge, look(rough, region, _across(region, ridge))[1])
    return _density(region, ridge, look(fine, region, _along(region, ridge))[1]), region.loc


@partial(jit, effort="little", static_argnums=(0, 1))
def _everywhere(num_scales: int, is_far: bool, start: Float[Array, "dataset latent"]) -> Region:
    """Profiles along the coordinates, as wide as can be."""

    def one(start: Array) -> Region:
        widest = WIDEST_FAR if is_far else WIDEST
        zeros, ends = jnp.zeros(num_scales), jnp.broadcast_to(jnp.asarray([-widest, widest]), (num_scales, 2))
        farthest = jnp.asarray(FARTHEST_FAR if is_far else FARTHEST)
        nothing = jnp.asarray(-jnp.inf), start, jnp.asarray(0), jnp.asarray(False), farthest
        return Region(zeros, jnp.eye(num_scales), ends, zeros, *nothing)

    return vmap(one)(start)


@partial(jit, effort="moderate")
@vmap
def _on_axes(region: Region) -> Float[Array, "point scale"]:
    """Knots of all profiles, axis by axis."""
    along = vmap(_knots)(region.ends)
    return jnp.reshape(region.centre + along[:, :, None] * region.axes.T[:, None, :], (-1, region.centre.size))


@partial(jit, effort="moderate", static_argnums=0)
def _narrowed(moves: bool, region: Region, points: Array, locs: Array, values: Array) -> Region:
    """Profiles that end where the values have fallen far enough; around the best knots of all axes where they move."""
    return vmap(partial(_narrowed_one, moves))(region, points, locs, values)


@partial(jit, effort="moderate")
@vmap
def _closer(region: Region, points: Array, locs: Array, values: Array) -> Region:
    """A single profile that closes in until a round leaves most of it, however narrow it is."""
    found = _narrowed_one(False, region, points, locs, values)
    width, before = (jnp.sum(jnp.abs(r.ends[:, 1] - r.ends[:, 0])) for r in (found, region))
    is_close = (width > NARROWED * before) | (region.count >= MOST_WIDE)
    # A round that leaves most of it is not taken, so that profiles that were close enough stay as they were.
    kept = jax.tree.map(lambda new, old: jnp.where(is_close, old, new), found, region)
    moved = dataclasses.replace(kept, is_close=is_close, count=region.count + 1)
    return jax.tree.map(lambda new, old: jnp.where(region.is_turning, new, old), moved, region)


def _narrowed_one(moves: bool, region: Region, points: Array, locs: Array, values: Array) -> Region:
    """`_narrowed` of one dataset."""
    values = _usable(region, points, values)
    region = _with_best(region, points, locs, values)
    by_axis = jnp.reshape(values, (-1, NUM_KNOTS))
    knots = vmap(_knots)(region.ends)
    ends = vmap(_ends)(knots, by_axis)
    peaks = jnp.take_along_axis(knots, jnp.argmax(by_axis, axis=1)[:, None], axis=1)[:, 0]
    if moves:
        centre, ends = region.centre + region.axes @ peaks, ends - peaks[:, None]
        return dataclasses.replace(region, centre=centre, ends=ends)
    return dataclasses.replace(region, ends=ends)


@partial(jit, effort="moderate")
@vmap
def _at_best(region: Region) -> Region:
    """Around the best point so far, with steps of a standard deviation along the axes as they are."""
    widths = jnp.clip((region.ends[:, 1] - region.ends[:, 0]) / WIDTH, 0.02, 2.0)
    ends = jnp.broadcast_to(jnp.asarray([-REACH, REACH]), region.ends.shape)
    return dataclasses.replace(region, centre=region.best, axes=region.axes * widths, ends=ends)


@partial(jit, effort="moderate")
@vmap
def _reopened(before: Region, region: Region) -> Region:
    """The search for the peak goes on where the profiles have found a higher point."""
    higher = region.value > before.value + HIGHER
    centre = jnp.where(higher, region.best, region.centre)
    ends = jnp.where(higher, jnp.asarray([-REACH, REACH]), region.ends)
    return dataclasses.replace(region, centre=centre, ends=ends, is_close=region.is_close & ~higher)


@partial(jit, effort="moderate")
@vmap
def _stencil(region: Region) -> Float[Array, "point scale"]:
    """The centre, a step either way along each axis, and all four corners of each pair of axes."""
    return region.centre + _steps(region.centre.size) @ region.axes.T


def _steps(num_axes: int) -> Float[np.ndarray, "point axis"]:
    eye = np.eye(num_axes, dtype=np.float32)
    corners = [a * eye[i] + b * eye[j] for i, j in _pairs(num_axes) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return np.stack([0.0 * eye[0], *eye, *-eye, *corners]).astype(np.float32)


def _pairs(num_axes: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(num_axes) for j in range(i)]


@partial(jit, effort="moderate")
@vmap
def _turned(region: Region, points: Array, locs: Array, values: Array) -> Region:
    """Axes and centre from second differences: towards the peak, and turned and stretched until the peak is round."""
    values = _usable(region, points, values)
    size = region.centre.size
    before, region = region, _with_best(region, points, locs, values)
    middle, up, down = values[0], values[1 : size + 1], values[size + 1 : 2 * size + 1]
    slope, curvature = 0.5 * (up - down), jnp.diag(2.0 * middle - up - down)
    for k, (i, j) in enumerate(_pairs(size)):
        corners = values[2 * size + 1 + 4 * k :][:4]
        mixed = -0.25 * (corners[0] - corners[1] - corners[2] + corners[3])
        curvature = curvature.at[i, j].set(mixed).at[j, i].set(mixed)
    found, turn = jnp.linalg.eigh(jnp.clip(curvature, -MOST_CURVED, MOST_CURVED))
    found = jnp.clip(jnp.abs(found), LEAST_CURVED, MOST_CURVED)
    step = (turn.T @ jnp.clip(slope, -MOST_CURVED, MOST_CURVED)) / jnp.sqrt(found)
    step *= jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(step))), 1e-6))
    axes = region.axes @ (turn / jnp.sqrt(found))
    # Where the centre turns out to be low, nothing seen from there is worth much.
    fallen = before.value > middle + FALLEN
    centre = jnp.where(fallen, region.best, region.centre + axes @ step)
    short = ~fallen & (jnp.sum(jnp.square(step)) < CLOSE**2)
    # A short step beside a higher point is one on a saddle or a plateau.
    close = short & (region.value < middle + HIGHER)
    centre = jnp.where(short & ~close, region.best, centre)
    axes = jnp.where(fallen, 0.5 * region.axes, axes)
    axes *= jnp.minimum(1.0, LONGEST_AXIS / jnp.sqrt(jnp.sum(jnp.square(axes), axis=0)))
    moved = dataclasses.replace(region, centre=centre, axes=axes, count=region.count + 1, is_close=close)
    return jax.tree.map(lambda new, old: jnp.where(before.is_turning, new, old), moved, before)


class Ridge(eqx.Module):
    """Where the peak of the other axes is, and how wide, at each knot of the first; see `AxesDensity`."""

    shifts: Float[Array, "knot axis"]
    log_stretches: Float[Array, "knot axis"]


@partial(jit, effort="little")
@vmap
def _straight(region: Region) -> tuple[Region, Ridge]:
    """A ridge along the axis with the longest tails, from which the others are easily seen."""
    order = jnp.argsort(region.ends[:, 0] - region.ends[:, 1])
    zeros = jnp.zeros((NUM_KNOTS, region.centre.size))
    return dataclasses.replace(region, axes=region.axes[:, order], ends=region.ends[order]), Ridge(zeros, zeros)


@partial(jit, effort="moderate")
@vmap
def _across(region: Region, ridge: Ridge) -> Float[Array, "point scale"]:
    """At each knot of the first axis the point on the ridge, and a step either way along each other axis."""
    size = region.centre.size
    eye = np.eye(size, dtype=np.float32)[1:]
    steps = jnp.asarray(np.concatenate([np.zeros((1, size), np.float32), eye, -eye]))
    at = ridge.shifts[:, None] + jnp.exp(ridge.log_stretches)[:, None] * steps
    at = at.at[:, :, 0].set(_knots(region.ends[0])[:, None])
    return region.centre + jnp.reshape(at, (-1, size)) @ region.axes.T


@partial(jit, effort="moderate")
@vmap
def _followed(region: Region, ridge: Ridge, values: Array) -> tuple[Region, Ridge]:
    """The ridge put right by second differences, at knots that reach as far as what lies around it has mass."""
    others = region.centre.size - 1
    values = jnp.reshape(jnp.where(jnp.isfinite(values), values, UNKNOWN), (NUM_KNOTS, -1))
    middle, up, down = values[:, :1], values[:, 1 : others + 1], values[:, others + 1 :]
    slope, curvature = 0.5 * (up - down), 2.0 * middle - up - down
    known = (jnp.minimum(jnp.minimum(up, down), middle) > 0.5 * UNKNOWN) & (jnp.abs(slope) < MOST_CURVED)
    curvature = jnp.where(known, jnp.clip(curvature, 1.0 / MOST_STRETCHED, MOST_STRETCHED), 1.0)
    step = jnp.where(known, jnp.clip(slope / curvature, -LONGEST_LEAP, LONGEST_LEAP), 0.0)
    gained = jnp.sum(step * (slope - 0.5 * curvature * step), axis=1)
    stretch = jnp.exp(ridge.log_stretches[:, 1:])
    shifts = jnp.pad(ridge.shifts[:, 1:] + stretch * step, ((0, 0), (1, 0)))
    log_stretches = jnp.pad(ridge.log_stretches[:, 1:] - 0.5 * jnp.log(curvature), ((0, 0), (1, 0)))
    knots = _knots(region.ends[0])
    gained = jnp.minimum(gained, MOST_GAINED)  # a promise that grows with the distance is not to be believed
    ends = _ends(knots, middle[:, 0] + gained + jnp.sum(log_stretches, axis=1))
    weights = vmap(partial(knot_weights, knots))(_knots(ends))
    moved = eqx.tree_at(lambda r: r.ends, region, region.ends.at[0].set(ends))
    return moved, Ridge(weights @ shifts, weights @ log_stretches)


@partial(jit, effort="moderate")
@vmap
def _along(region: Region, ridge: Ridge) -> Float[Array, "point scale"]:
    """Knots of all profiles: of the first along the ridge, of the others across it at the middle."""
    size = region.centre.size
    knots = vmap(_knots)(region.ends)
    first = ridge.shifts.at[:, 0].set(knots[0])
    here = knot_weights(knots[0], jnp.zeros(()))
    shift, stretch = here @ ridge.shifts, jnp.exp(here @ ridge.log_stretches)
    eye = jnp.eye(size)[1:]
    across = shift + stretch * knots[1:, :, None] * eye[:, None, :]
    return region.centre + jnp.concatenate([first, jnp.reshape(across, (-1, size))]) @ region.axes.T


@partial(jit, effort="moderate")
@vmap
def _density(region: Region, ridge: Ridge, values: Array) -> AxesDensity:
    """The density around the ridge."""
    values = jnp.reshape(jnp.where(jnp.isfinite(values), values, UNKNOWN), (-1, NUM_KNOTS))
    # The first profile is that of what lies around the ridge.
    values = values.at[0].add(jnp.sum(ridge.log_stretches, axis=1))
    # Away from all profiles their product may be too low: somewhat wider ones cost next to nothing.
    profiles = vmap(PiecewiseDensity)(vmap(_knots)(region.ends), DEFENSIVE * values)
    inverse = jnp.linalg.inv(region.axes)
    return AxesDensity(region.centre, region.axes, inverse, profiles, ridge.shifts, ridge.log_stretches)


@partial(jit, effort="moderate")
@vmap
def _line_density(region: Region, values: Array) -> AxesDensity:
    """Of a single scale: its profile is all there is."""
    values = jnp.where(jnp.isfinite(values), values, UNKNOWN)
    profiles = vmap(PiecewiseDensity)(vmap(_knots)(region.ends), values[None])
    nothing = jnp.zeros((NUM_KNOTS, 1))
    return AxesDensity(region.centre, region.axes, region.axes, profiles, nothing, nothing)


def _knots(ends: Float[Array, "2"]) -> Float[Array, " knot"]:
    return jnp.linspace(ends[0], ends[1], NUM_KNOTS)


def _usable(region: Region, points: Array, values: Array) -> Array:
    beyond = jnp.any(jnp.abs(points) > region.farthest, axis=1)
    return jnp.where(jnp.isfinite(values) & ~beyond, values, UNKNOWN)


def _with_best(region: Region, points: Array, locs: Array, values: Array) -> Region:
    """The region with its best point renewed."""
    i = jnp.argmax(values)
    found = points[i], values[i], locs[i]
    kept = region.best, region.value, region.loc
    best, value, loc = jax.tree.map(lambda new, old: jnp.where(values[i] > region.value, new, old), found, kept)
    return dataclasses.replace(region, best=best, value=value, loc=loc)


def _ends(knots: Array, values: Array) -> Float[Array, "2"]:
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

    last = knots.size - 1
    left = jnp.where(low >= 0, crossing(jnp.maximum(low, 0), low + 1), knots[0] - 2.0 * gap)
    right = jnp.where(high <= last, crossing(jnp.minimum(high, last), high - 1), knots[-1] + 2.0 * gap)
    return jnp.stack([left, right])
