r"""Functions of a few standard normal numbers, from their values at a fixed design of points.

Given the scales, everything about the rest varies smoothly; so it is computed at a few dozen points and interpolated by
cubic radial functions with a linear tail,

$$f(v) \approx \sum_m w_m(v) f(v_m), \quad (w(v), \cdot) = \big(|v - v_m|^3, 1, v_j\big)\, K^{-1},$$

where $K$ depends on the design alone: its inverse is a constant, made once in float64.
"""

import functools
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from posterity.amortized.families.noise import NUM_BLOCKS

__all__ = ["block_of", "design", "interpolation_weights"]

ON_FIRST = (-3.3, -2.5, -1.75, 1.75, 2.5, 3.3)
ON_OTHERS = (-3.2, -1.6, 1.6, 3.2)
LONGER = 1.5  # distances along the first axis, which has the longest tails
SPREAD = 1.5  # of the points between axes, so that they reach into the tails
BEYOND = 1.6  # what lies further out than this beyond the root of the number of axes is taken as if it lay there
NEAR = 0.4  # distance between two points that are as good as one
NUM_BETWEEN = {1: 0, 2: 24, 3: 44, 4: 80}
MOST_BETWEEN = 96


@functools.cache
def design(num_axes: int) -> Float[np.ndarray, "point axis"]:
    """Points in coordinates that are standard normal under q; the first are the middles of the blocks of draws."""
    blocks = np.zeros((NUM_BLOCKS, num_axes))
    blocks[:, 0] = [NormalDist().inv_cdf((i + 0.5) / NUM_BLOCKS) for i in range(NUM_BLOCKS)]
    axes = [place * np.eye(num_axes)[axis] for axis in range(num_axes) for place in _places(axis)]
    between = SPREAD * _evenly_spread(NUM_BETWEEN.get(num_axes, MOST_BETWEEN), num_axes)
    points = np.concatenate([blocks, np.reshape(axes, (-1, num_axes)), between])
    # Of two points that nearly coincide one is enough, and rounding errors would be divided by their distance.
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 10.0 * np.triu(np.ones((len(points), len(points))))
    return points[np.min(distances, axis=1) > NEAR].astype(np.float32)


def interpolation_weights(v: Float[Array, " axis"]) -> Float[Array, " point"]:
    """Weight of each point of the design; they sum to 1."""
    points = design(v.size)
    length = jnp.sqrt(jnp.sum(jnp.square(v)) + 1e-12)
    v *= jnp.minimum(1.0, (np.sqrt(v.size) + BEYOND) / length)
    distances = jnp.sqrt(jnp.sum(jnp.square((v - points) * _lengths(v.size)), axis=1) + 1e-12)
    weights = jnp.concatenate([distances**3, jnp.ones(1), v]) @ _inverse(v.size)
    return weights / jnp.sum(weights)  # 1 up to rounding, of which large terms cancel


def block_of(v: Float[Array, " axis"]) -> Array:
    """Number of the block of draws that a point belongs to."""
    ends = np.asarray([NormalDist().inv_cdf(i / NUM_BLOCKS) for i in range(1, NUM_BLOCKS)], np.float32)
    return jnp.searchsorted(ends, v[0])


@functools.cache
def _inverse(num_axes: int) -> Float[np.ndarray, "feature point"]:
    points = design(num_axes).astype(np.float64)
    cubes = np.linalg.norm((points[:, None] - points) * _lengths(num_axes), axis=2) ** 3
    tail = np.column_stack([np.ones(len(points)), points])
    whole = np.block([[cubes, tail], [tail.T, np.zeros((num_axes + 1, num_axes + 1))]])
    return np.linalg.inv(whole)[:, : len(points)].astype(np.float32)


def _places(axis: int) -> tuple[float, ...]:
    return ON_OTHERS if axis else ON_FIRST


def _lengths(num_axes: int) -> Float[np.ndarray, " axis"]:
    return np.where((np.arange(num_axes) == 0) & (num_axes > 1), LONGER, 1.0).astype(np.float32)


def _evenly_spread(number: int, num_axes: int) -> Float[np.ndarray, "point axis"]:
    """Standard normal numbers that cover space evenly: Roberts' additive recurrence, mapped by the normal quantile."""
    root = 2.0
    for _ in range(64):  # the generalised golden ratio, the positive root of x^(k+1) = x + 1
        root = (1.0 + root) ** (1.0 / (num_axes + 1))
    steps = root ** -np.arange(1.0, num_axes + 1.0)
    uniform = (0.5 + np.outer(np.arange(1, number + 1), steps)) % 1.0
    return np.reshape([NormalDist().inv_cdf(u) for u in uniform.ravel()], (number, num_axes))
