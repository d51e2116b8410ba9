r"""Derivatives of affine and quadratic functions of the rest: dense, or as an arrow.

An arrow's are had by few directional derivatives: one along the same latent of all groups at once for each latent that
a group has, and one for each of the border.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float

from posterity.informed_posterior.algebra.arrow import ArrowPrecision, Design, Precision
from posterity.informed_posterior.algebra.rows import Rows
from posterity.informed_posterior.read.order import Order
from posterity.runtime.precision import real_dtype

__all__ = ["compressed", "diagonal", "hessian", "jacobian"]

Vector = Float[Array, " latent"]


def jacobian(function: Callable[[Vector], Array], origin: Vector, order: Order | None, rows: Rows | None) -> Design:
    """Of an affine function.

    Args:
        function: Latents -> predictors.
        origin: Where to look.
        order: Of the latents; None for a dense one.
        rows: How an arrow's rows are arranged.
    """
    if order is None or rows is None:
        return jax.jacfwd(function)(origin)
    own, border = compressed(jax.linearize(function, origin)[1], order)
    return rows.design(rows.coefficients(own), rows.coefficients(border))


def hessian(function: Callable[[Vector], Array], origin: Vector, order: Order | None) -> Precision:
    """Of a quadratic function, with its sign changed."""
    if order is None:
        return -jax.hessian(function)(origin)
    (num_own, num_groups), num_border = order.own.shape, order.border.size
    own, border = compressed(jax.linearize(jax.grad(function), origin)[1], order)
    end = order.own.size
    blocks = jnp.reshape(own[:end].T, (num_own, num_own, num_groups))  # symmetric
    sides = jnp.reshape(border[:end].T, (num_border, num_own, num_groups))
    return ArrowPrecision(-blocks, -jnp.swapaxes(sides, 0, 1), -border[end:])


def compressed(
    derivative: Callable[[Vector], Float[Array, " n"]], order: Order
) -> tuple[Float[Array, "n own"], Float[Array, "n border"]]:
    """Sums of a linear map's columns over all groups, one for each latent that a group has; and those of the border."""
    (num_own, num_groups), num_border = order.own.shape, order.border.size
    seeds = np.eye(num_own + num_border, dtype=real_dtype())

    def along(seed: Array) -> Array:
        return derivative(jnp.concatenate([jnp.repeat(seed[:num_own], num_groups), seed[num_own:]]))

    found = vmap(along)(jnp.asarray(seeds)).T
    return found[:, :num_own], found[:, num_own:]


def diagonal(entries: Vector, order: Order | None) -> Precision:
    """A diagonal matrix."""
    if order is None:
        return jnp.diag(entries)
    (num_own, num_groups), num_border = order.own.shape, order.border.size
    blocks = jnp.reshape(entries[: order.own.size], (num_own, num_groups)) * jnp.eye(num_own)[:, :, None]
    sides = jnp.zeros((num_own, num_border, num_groups))
    return ArrowPrecision(blocks, sides, jnp.diag(entries[order.own.size :]))
