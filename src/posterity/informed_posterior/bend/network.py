"""The row network: from how each row looks at the anchor to how it bends the posterior.

It sees rotation invariants only, so one set of weights serves any number of rows and latents. Rows talk to each other
through sums over rows of $j_i$ and $j_i j_i'$, at a cost that is linear in the number of rows.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import nn, random, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.informed_posterior.algebra.arrow import Design
from posterity.informed_posterior.algebra.dense import quadratic_forms, rows_scaled
from posterity.informed_posterior.anchor.anchor import Anchor
from posterity.informed_posterior.anchor.nodes import HERMITE, NODE_WEIGHTS
from posterity.informed_posterior.bend.row_map import CENTRES, RowMap, bounded_slope
from posterity.informed_posterior.read.lines import Lines

__all__ = ["RowNetwork", "hermite_moments"]

NUM_FEATURES = 12


def hermite_moments(profile: Float[Array, "term node"]) -> Float[Array, "term 5"]:
    r"""$\sigma^{k} E[l^{(k)}]$ for k = 1..5, by Stein's identity on the slopes at the nodes."""
    return profile @ (HERMITE * NODE_WEIGHTS).T


class RowNetwork(eqx.Module):
    """Anchor -> posterior in the anchor's coordinates.

    Attributes:
        lift: Features of a row -> its state.
        rounds: Each mixes all rows, then updates every state.
        head: State -> corrections to the map that theory gives.
    """

    lift: eqx.nn.MLP
    rounds: tuple["Mixing", ...]
    head: eqx.nn.Linear

    def __init__(self, width: int = 32, num_channels: int = 8, num_rounds: int = 2, *, key: PRNGKeyArray):
        """Starts as first-order perturbation theory: the head's weights are zero.

        Args:
            width: Size of a row's state.
            num_channels: Sums over rows in each round, of each kind.
            num_rounds: Rounds of mixing.
            key: Consumed for the weights.
        """
        key_lift, *keys = random.split(key, 2 + num_rounds)
        self.lift = eqx.nn.MLP(NUM_FEATURES, width, width, 1, activation=nn.relu, key=key_lift)
        self.rounds = tuple(Mixing(width, num_channels, key=k) for k in keys[:num_rounds])
        head = eqx.nn.Linear(width, 1 + len(CENTRES), key=keys[-1])
        self.head = jax.tree.map(jnp.zeros_like, head)

    def __call__(self, lines: Lines, anchor: Anchor) -> RowMap:
        """The map of one dataset."""
        moments = hermite_moments(anchor.profile)
        sign = jnp.where(moments[:, 2] < 0.0, -1.0, 1.0)  # a row and its mirror image are the same row
        moments *= jnp.stack([sign, jnp.ones_like(sign)] * 2 + [sign], axis=1)
        directions = rows_scaled(anchor.directions(lines), sign * lines.active)
        leverage = jnp.where(lines.active, anchor.curvature * jnp.square(anchor.scale), 0.0)
        safe = jnp.maximum(leverage, 1e-12)
        skew, kurtosis = moments[:, 2] / safe, moments[:, 3] / safe
        features = _features(lines, moments, leverage)
        states = vmap(self.lift)(features)
        for mixing in self.rounds:
            states = mixing(states, directions, leverage)
        change = vmap(self.head)(states)
        # How far from Gaussian the row is, relative to its curvature: Gaussian rows bend nothing.
        gate = jnp.tanh(jnp.sqrt(jnp.square(skew) + jnp.square(kurtosis) + jnp.square(moments[:, 4] / safe) + 1e-12))
        # First-order theory: the density is bent by skew He3(t) / 6 + kurtosis He4(t) / 24, the map by its transport.
        centres = jnp.asarray(CENTRES)
        theory = jnp.tanh(skew[:, None] * centres / 3.0) + jnp.tanh(kurtosis[:, None] * (centres**2 - 1.0) / 8.0)
        return RowMap(
            directions=directions,
            leverage=leverage,
            shift=leverage * gate * change[:, 0],
            slopes=bounded_slope(theory + gate[:, None] * change[:, 1:]),
            mask=lines.mask,
        )


class Mixing(eqx.Module):
    """One round: weighted sums of $j_i$ and $j_i j_i'$ over all rows, read off along every row, then an update."""

    weights: eqx.nn.Linear
    update: eqx.nn.MLP
    num_channels: int = eqx.field(static=True)

    def __init__(self, width: int, num_channels: int, *, key: PRNGKeyArray):
        """Round for states of size `width`."""
        key_weights, key_update = random.split(key)
        self.weights = eqx.nn.Linear(width, 2 * num_channels, key=key_weights)
        self.update = eqx.nn.MLP(width + 2 * num_channels, width, width, 1, activation=nn.relu, key=key_update)
        self.num_channels = num_channels

    def __call__(
        self,
        states: Float[Array, "term width"],
        directions: Design,
        leverage: Float[Array, " term"],
    ) -> Float[Array, "term width"]:
        """States after hearing from all rows; rows of leverage 0 are not heard."""
        weights = vmap(self.weights)(states) * leverage[:, None]
        for_matrix, for_vector = jnp.split(weights, 2, axis=1)
        from_matrices = quadratic_forms(directions, for_matrix)
        from_vectors = directions @ (directions.T @ for_vector)
        heard = jnp.concatenate([from_matrices, from_vectors], axis=1)
        return states + vmap(self.update)(jnp.concatenate([states, heard], axis=1))


def _features(lines: Lines, moments: Array, leverage: Array) -> Float[Array, "term feature"]:
    """Invariants of each row, all of order one."""
    safe = jnp.maximum(leverage, 1e-12)
    relative = jnp.arcsinh(moments[:, 2:] / (safe ** jnp.asarray([[1.5], [2.0], [2.5]])).T)
    size = jnp.sum(lines.mask)
    num_rows = jnp.maximum(jnp.sum(lines.active), 1)
    whole = jnp.stack([jnp.log(size) / 3.0, jnp.log(num_rows) / 5.0, jnp.sum(leverage) / size])
    own = [
        leverage,
        jnp.log(safe + 1e-6) / 4.0,
        jnp.arcsinh(moments[:, 0]),
        jnp.where(moments[:, 1] > 0.0, 1.0, 0.0),  # convex where it should be concave
        lines.is_prior.astype(jnp.float32),
        jnp.arcsinh(moments[:, 2] / safe),
    ]
    return jnp.concatenate([jnp.stack(own, axis=1), relative, jnp.broadcast_to(whole, (leverage.size, 3))], axis=1)
