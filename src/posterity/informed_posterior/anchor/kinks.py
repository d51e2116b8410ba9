r"""What nine nodes miss of a log density with kinks: where between two of them a slope jumps.

Slopes at the nodes average a smooth log density exactly, but of a kink (a quantile's likelihood, a Laplace prior) they
tell only between which nodes it lies: averages are then steps, and an iteration on them never settles. The values tell
the rest, since they differ by the integral of the slope: between nodes $x_q$ and $x_{q+1}$, with $g = \sigma l'$,

$$d_q = \frac{l_{q+1} - l_q}{x_{q+1} - x_q} - \bar g_q, \qquad
  E[g\, He_k] \approx \sum_q w_q g_q He_k(x_q) + \sum_q d_q \int_{x_q}^{x_{q+1}} He_k \phi,$$

where $\bar g_q$ is the mean of the cubic through the nearest four slopes: $d_q$ is next to nothing for a smooth log
density, and taken as nothing there.
"""

from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from posterity.informed_posterior.anchor.nodes import HERMITE, NODES

__all__ = ["missed_by_nodes"]

SMOOTH = 0.05  # of the range of the slopes: what a smooth log density may differ by
ROUNDING = 1e-6  # of the values


def missed_by_nodes(values: Float[Array, "term node"], profile: Float[Array, "term node"]) -> Float[Array, "term node"]:
    r"""What to add to slopes at the nodes, so that averages of their products with $He_0$ to $He_4$ are right.

    Args:
        values: $l$ at the nodes.
        profile: $\sigma l'$ there.
    """
    missed = jnp.diff(values, axis=1) / np.diff(NODES) - profile @ _MEANS
    noise = SMOOTH * jnp.ptp(profile, axis=1) + ROUNDING * jnp.max(jnp.abs(values), axis=1)
    missed = jnp.sign(missed) * jnp.maximum(jnp.abs(missed) - noise[:, None], 0.0)
    missed = jnp.where(jnp.isfinite(missed), missed, 0.0)
    return missed @ _TO_NODES


def _means() -> Float[np.ndarray, "node gap"]:
    """Slopes at the nodes -> means of the cubics through the nearest four, between neighbours."""
    nodes = NODES.astype(np.float64)
    means = np.zeros((nodes.size, nodes.size - 1))
    for gap in range(nodes.size - 1):
        first = min(max(gap - 1, 0), nodes.size - 4)
        for node in range(first, first + 4):
            others = np.delete(nodes[first : first + 4], node - first)
            whole = np.polynomial.Polynomial.fromroots(others).integ()
            low, high = nodes[gap], nodes[gap + 1]
            means[node, gap] = (whole(high) - whole(low)) / (high - low) / np.prod(nodes[node] - others)
    return means.astype(np.float32)


def _to_nodes() -> Float[np.ndarray, "gap node"]:
    r"""$d$ -> the polynomial at the nodes that has these coefficients; $\int He_k \phi = -He_{k-1} \phi$."""
    density = np.asarray([NormalDist().pdf(float(x)) for x in NODES])
    ends = np.stack([[NormalDist().cdf(float(x)) for x in NODES], *(-HERMITE[:-1] * density)])
    factorials = np.cumprod([1.0, *range(1, len(HERMITE))])
    return (np.diff(ends, axis=1).T @ (HERMITE / factorials[:, None])).astype(np.float32)


_MEANS, _TO_NODES = _means(), _to_nodes()
