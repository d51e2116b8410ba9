"""Whether one dataset's rest is an arrow, and how its terms are arranged then; see `order` for how that is seen."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Bool, Float, Int

from posterity.informed_posterior.algebra.arrow import ArrowPrecision
from posterity.informed_posterior.algebra.blocks import block_cholesky, block_inverse, product, transposed
from posterity.informed_posterior.algebra.rows import Arrangement, Ties, arranged
from posterity.informed_posterior.read.conditional import Conditional
from posterity.informed_posterior.read.derivatives import compressed, hessian
from posterity.informed_posterior.read.order import Order, candidate_axes, order_of
from posterity.informed_posterior.read.structure import Structure
from posterity.informed_posterior.read.terms import term_bucket
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit
from posterity.runtime.precision import real_dtype

__all__ = ["find_arrow", "may_be_arrow"]

FEWEST_LATENTS = 128  # of the rest: fewer are dealt with as fast by dense matrices
MOST_LEFT = 0.6  # of all latents, that a group and the border may have together
MOST_TIED = 1e3  # more are no prior's, but rounding
ROUND, ROUNDING = 1024.0, 1e-5  # multiples of 1 / 1024 are meant where this close
AGREES = 1e-3  # relative error of a derivative along random numbers


def may_be_arrow(model: Model, structure: Structure) -> bool:
    """Whether it would pay to take the rest as an arrow, along some axis."""
    return bool(structure.scale_sites) and bool(_worthwhile(model, structure))


def _worthwhile(model: Model, structure: Structure) -> list[str]:
    scales = structure.scale_sites
    size = model.space.size - len(model.space.places(scales))
    if size < FEWEST_LATENTS:
        return []

    axes = candidate_axes(model, scales)
    return [axis for axis in axes if order_of(model, scales, axis).width <= MOST_LEFT * size]


def find_arrow(model: Model, structure: Structure, dataset: Dataset) -> tuple[Structure, Arrangement | None]:
    """The structure with the axis along which the rest is an arrow, and the arrangement of this dataset.

    Args:
        model: The model.
        structure: What was read off it.
        dataset: Padded dataset, one of numbers: this cannot be traced.

    Returns:
        The structure as it was, and no arrangement, where it is none or where dense matrices are as good.
    """
    for axis in _worthwhile(model, structure):
        agrees, groups, ties = jax.device_get(_look(model, structure.scale_sites, axis, dataset))
        if agrees:
            num_groups = order_of(model, structure.scale_sites, axis).own.shape[1]
            sizes = [term_bucket(len(groups[0])), *(len(group) for group in groups[1:])]
            rows = [arranged(group, num_groups, size) for group, size in zip(groups, sizes, strict=True)]
            ties = ties if np.any(ties) else None
            return dataclasses.replace(structure, axis=axis), Arrangement(tuple(rows), ties)
    return structure, None


@partial(jit, effort="little", static_argnums=(0, 1, 2))
def _look(
    model: Model, scale_sites: tuple[str, ...], axis: str, dataset: Dataset
) -> tuple[Bool[Array, ""], list[Int[Array, " term"]], Ties]:
    """Whether derivatives along random numbers are those of an arrow; each predictor's terms' groups; and the ties."""
    scales = model.space.places(scale_sites)
    z = jnp.zeros(model.space.size).at[scales].set(0.1 * jnp.cos(1.0 + jnp.arange(len(scales))))
    reading = Conditional.read(model, scale_sites, axis, z, dataset)
    order = order_of(model, scale_sites, axis)
    numbers = jnp.asarray(np.random.default_rng(0).normal(size=order.size).astype(real_dtype()))
    numbers = jnp.where(reading.mask, numbers, 0.0)
    actives = [[jnp.ravel(site.active) for site in reading.roots], *([jnp.ravel(s.active)] for s in reading.quadratics)]
    agrees, groups = [], []
    for predictor, active in zip(reading.predictors, actives, strict=True):
        ok, group = _groups(jax.linearize(predictor, reading.origin)[1], order, numbers)
        active = jnp.concatenate([jnp.zeros(0, bool), *active])
        agrees.append(jnp.all(ok | ~active))
        groups.append(jnp.where(active, group, -1))
    precision = hessian(reading.quadratic, reading.origin, order)
    exact = -jax.jvp(jax.grad(reading.quadratic), (reading.origin,), (numbers,))[1]
    size = jax.tree.map(jnp.abs, precision) @ jnp.abs(numbers)
    agrees.append(jnp.all(jnp.abs(exact - precision @ numbers) <= AGREES * size))
    return jnp.all(jnp.stack(agrees)), groups, _ties(precision)


def _ties(prior: ArrowPrecision) -> Ties:
    r"""$-D^{-1} B$: where the prior takes groups with the border; 0 for latents whose prior is not Gaussian."""
    eye = jnp.eye(len(prior.blocks))[:, :, None]
    half = block_inverse(block_cholesky(prior.blocks + jnp.where((eye > 0.0) & (prior.blocks <= 0.0), 1.0, 0.0)))
    found = -product(transposed(half), product(half, prior.sides))
    # Round numbers, of which most are 0 or 1, to the last digit: effects with next to no spread tell any other apart.
    rounded = jnp.round(found * ROUND) / ROUND
    found = jnp.where(jnp.abs(found - rounded) < ROUNDING, rounded, found)
    return jnp.where(jnp.isfinite(found) & (jnp.abs(found) < MOST_TIED), found, 0.0)


def _groups(
    derivative: Callable[[Array], Array], order: Order, numbers: Float[Array, " latent"]
) -> tuple[Bool[Array, " term"], Int[Array, " term"]]:
    """Whether each term touches one group at most, and which; the first where it touches none."""
    num_own, num_groups = order.own.shape
    own, border = compressed(derivative, order)
    counted = jnp.tile(jnp.arange(1.0, num_groups + 1.0), num_own)

    def along(seed: Array) -> Array:
        weighted = counted * jnp.repeat(seed, num_groups)
        return derivative(jnp.concatenate([weighted, jnp.zeros(order.border.size)]))

    by_number = vmap(along)(jnp.eye(num_own)).T
    largest = jnp.argmax(jnp.abs(own), axis=1)[:, None]
    coefficient = jnp.take_along_axis(own, largest, axis=1)[:, 0]
    number = jnp.take_along_axis(by_number, largest, axis=1)[:, 0]
    touched = jnp.where(coefficient == 0.0, 1.0, number / jnp.where(coefficient == 0.0, 1.0, coefficient))
    group = jnp.clip(jnp.round(jnp.nan_to_num(touched, nan=1.0)) - 1.0, 0.0, num_groups - 1.0).astype(jnp.int32)
    in_groups = jnp.reshape(numbers[: order.own.size], order.own.shape)[:, group].T
    parts = jnp.concatenate([own * in_groups, border * numbers[order.own.size :]], axis=1)
    error = jnp.abs(derivative(numbers) - jnp.sum(parts, axis=1))
    return error <= AGREES * jnp.sum(jnp.abs(parts), axis=1), group
