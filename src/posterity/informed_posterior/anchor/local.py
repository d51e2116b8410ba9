r"""Any model with a differentiable log joint: Gaussians at its modes, bent along what its rows curve most.

Where a row's likelihood cannot be read as a function of one number, its gradient and Hessian stand in for it. Modes are
found by damped Newton steps from draws of the prior, and from the best one with its entries relabelled; at each, the
Gaussian that minimises KL(q || p) by the iteration of `anchor`, its averages taken over fixed points $\epsilon_m$ with
mean 0 and covariance I:

$$H \leftarrow -\frac1M \sum_m \epsilon_m\, \nabla_\epsilon \log p(z + L^{-\top} \epsilon_m)', \qquad L L' = H.$$

Then the Hessian of each row's log likelihood, in coordinates where that Gaussian is standard normal, is split into its
leading eigenvectors: lines along which that row bends the posterior, as a predictor is for a regression.
"""

from collections.abc import Callable
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from posterity.informed_posterior.algebra.dense import whiten
from posterity.informed_posterior.anchor.anchor import (
    LONGEST_STEP,
    MOST_SMOOTHED,
    SETTLED,
    SLOW,
    Anchor,
)
from posterity.informed_posterior.anchor.newton import damped_newton
from posterity.informed_posterior.anchor.nodes import NODE_WEIGHTS, NODES
from posterity.informed_posterior.read.lines import Lines
from posterity.informed_posterior.read.relabelling import relabelled
from posterity.informed_posterior.read.rows import lone_row_log_likelihood
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit
from posterity.runtime.keys import key_for

__all__ = ["LocalGaussian", "find_gaussians", "local_lines"]

NUM_STARTS = 16
NUM_KNOWN = 2 * NUM_STARTS  # most modes that others are compared with
MOST_NEWTON, NEWTON_GAIN = 60, 0.001  # steps; nats by which a step must improve the log joint to go on
SAME = 0.1  # length between two modes, in standard deviations, below which they are one
FEWEST_POINTS = 64
PROMISING = 10.0  # nats below the best mode at which a relabelled one is worth a search
LEAST_CURVATURE = 1e-6  # relative to the largest
NUM_POWER = 8  # steps of orthogonal iteration: the lines need not be exact

Target = Callable[[Float[Array, " latent"]], Float[Array, ""]]


class LocalGaussian(eqx.Module):
    r"""$N(z^*, H^{-1})$ at one mode.

    Attributes:
        loc: $z^*$.
        factor: Lower-triangular $L$, $L L' = H$.
        bound: $E_q[\log p(z, D) - \log q(z)]$ in nats, about the log evidence of this mode; where $p(z, D)$ is zero
            on a part of q, that of q cut off there.
    """

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]
    bound: Float[Array, ""]


def find_gaussians(model: Model, dataset: Dataset) -> LocalGaussian:
    """Gaussians at the modes that are found, best first, one for each start.

    Starts are followed one after the other: side by side, all would take as many steps as the slowest. The dataset is
    one of numbers: this cannot be traced.

    Args:
        model: The model.
        dataset: Padded dataset.

    Returns:
        Along a leading axis; those that could not be had, or that repeat another, have bound -inf.
    """
    modes = _search(model, dataset, _starts(model, dataset))
    none = np.zeros((NUM_KNOWN, modes.shape[1]), np.float32)
    parts = [_gaussians(model, dataset, modes, none, np.int32(0))]
    twins, promising = _twins(model, dataset, parts[0])
    for first in range(0, len(twins), NUM_STARTS):
        places = np.resize(np.asarray(twins)[first : first + NUM_STARTS], modes.shape)
        if promising:
            known = [part.loc for part in parts]
            num_known = len(known) * NUM_STARTS
            known = np.concatenate([*known, none])[: max(NUM_KNOWN, num_known)]
            parts.append(_gaussians(model, dataset, _search(model, dataset, places), known, np.int32(num_known)))
        else:
            parts.append(eqx.tree_at(lambda g: g.bound, parts[0], np.full(NUM_STARTS, -np.inf, np.float32)))
    found = jax.tree.map(lambda *leaves: np.concatenate(leaves), *jax.device_get(parts))
    order = np.argsort(-found.bound, kind="stable")
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[order]), found)


def _target(model: Model, dataset: Dataset) -> tuple[Target, Array]:
    """The log joint, -inf where it is NaN; and which latents are active."""
    mask = model.space.mask(dataset.plate_masks)

    def target(z: Array) -> Array:
        value = model.log_joint(jnp.where(mask, z, 0.0), dataset)
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    return target, mask


@partial(jit, effort="little", static_argnums=0)
def _starts(model: Model, dataset: Dataset) -> Float[Array, "start latent"]:
    """The middle, and draws of the prior."""
    covariates = {argument.name: dataset.values[argument.name] for argument in model.covariates}
    mask = model.space.mask(dataset.plate_masks)

    def prior_draw(key: Array) -> Array:
        return model.sample_prior(key, covariates, dataset.row_mask.shape[0], dataset.plate_masks)

    draws = vmap(prior_draw)(random.split(key_for(0, "starts"), NUM_STARTS - 1))
    return jnp.where(mask, jnp.concatenate([jnp.zeros((1, mask.size)), draws]), 0.0)


@partial(jit, effort="moderate", static_argnums=0)
def _search(model: Model, dataset: Dataset, starts: Float[Array, "start latent"]) -> Float[Array, "start latent"]:
    """Modes, or the best points met on the way to them."""
    target, mask = _target(model, dataset)
    return lax.map(lambda start: _newton(target, start, mask), starts)


@partial(jit, effort="little", static_argnums=0)
def _twins(model: Model, dataset: Dataset, found: LocalGaussian) -> tuple[Float[Array, "twin latent"], Array]:
    """The best mode relabelled, and whether one of them is high enough to be worth a search."""
    target, mask = _target(model, dataset)
    best = found.loc[jnp.argmax(found.bound)]
    twins = relabelled(model, best)
    if not twins:
        return jnp.zeros((0, mask.size)), jnp.asarray(False)
    places = jnp.where(mask, jnp.stack(twins), 0.0)
    return places, jnp.any(vmap(target)(places) > target(best) - PROMISING)


def _newton(target: Target, start: Array, mask: Array) -> Array:
    """The mode, or the best point met on the way to it."""

    def look(z: Array) -> tuple[Array, Target]:
        factor = _factor(-jax.hessian(target)(z), mask)
        direction = cho_solve((factor, True), jnp.nan_to_num(jax.grad(target)(z)))
        return direction, lambda size: target(z + size * direction)

    return damped_newton(look, start, gain=NEWTON_GAIN, most=MOST_NEWTON)


@partial(jit, effort="moderate", static_argnums=0)
def _gaussians(
    model: Model,
    dataset: Dataset,
    modes: Float[Array, "mode latent"],
    known: Float[Array, "other latent"],
    num_known: Array,
) -> LocalGaussian:
    """One for each mode that is neither among the first of the known ones nor among those before it."""
    target, mask = _target(model, dataset)
    together = jnp.concatenate([modes, known])
    index = jnp.arange(len(together))

    def one(i: Array) -> LocalGaussian:
        factor = _factor(-jax.hessian(target)(modes[i]), mask)
        lengths = jnp.linalg.norm((together - modes[i]) @ factor, axis=1)
        others = (index < i) | ((index >= len(modes)) & (index < len(modes) + num_known))
        repeats = jnp.any((lengths < SAME) & others)
        repeated = LocalGaussian(modes[i], factor, jnp.asarray(-jnp.inf))
        return lax.cond(repeats, lambda: repeated, lambda: _gaussian(target, modes[i], factor, mask))

    return lax.map(one, jnp.arange(len(modes)))


def _gaussian(target: Target, mode: Array, factor: Array, mask: Array) -> LocalGaussian:
    """Of the Gaussian from the Hessian and the smoothed one, that with the higher bound."""
    points = jnp.asarray(_points(mask.size)) * mask
    laplace = _bounded(target, mode, factor, points, mask)
    smooth = _bounded(target, *_smooth(target, laplace, points, mask), points, mask)
    better = jax.tree.map(lambda a, b: jnp.where(smooth.bound > laplace.bound, a, b), smooth, laplace)
    # Where the log joint is -inf or flat all around there is no curvature to speak of: any finite one will do.
    sound = jnp.all(jnp.isfinite(better.factor)) & jnp.all(jnp.diagonal(better.factor) > 0.0)
    return eqx.tree_at(lambda g: g.factor, better, jnp.where(sound, better.factor, jnp.eye(mask.size)))


def _bounded(target: Target, loc: Array, factor: Array, points: Array, mask: Array) -> LocalGaussian:
    r"""The Gaussian with the bound of $q_S = q / q(S)$, with S where the density is not zero.

    $E_{q_S}[\log p - \log q] + \log q(S) \le \log p(D)$. That of q itself is -inf if one point lies beyond an edge.
    """
    values = vmap(target)(loc + _spread(factor, points))
    inside = ~jnp.isneginf(values)
    per_latent = jnp.log(jnp.diagonal(factor)) - 0.5 * np.log(2.0 * np.pi)
    log_q = jnp.sum(jnp.where(mask, per_latent, 0.0)) - 0.5 * jnp.sum(jnp.square(points), axis=1)
    bound = jnp.sum(jnp.where(inside, values - log_q, 0.0)) / jnp.sum(inside) + jnp.log(jnp.mean(inside))
    return LocalGaussian(loc, factor, jnp.where(jnp.isfinite(bound), bound, -jnp.inf))


def _smooth(target: Target, start: LocalGaussian, points: Array, mask: Array) -> tuple[Array, Array]:
    """The iteration for the best Gaussian, damped where it does not come closer."""
    identity = jnp.eye(mask.size)
    both = mask[:, None] & mask[None, :]

    def going_on(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (carry[2] > SETTLED) & (carry[4] < MOST_SMOOTHED)

    def step(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        loc, factor, last_length, damping, count = carry
        white = whiten(factor, vmap(jax.grad(target))(loc + _spread(factor, points)))
        white = jnp.nan_to_num(white, nan=0.0, posinf=0.0, neginf=0.0)
        gradient = jnp.mean(white, axis=0)
        curvature = -points.T @ white / len(points)
        change = jnp.where(both, 0.5 * (curvature + curvature.T) - identity, 0.0)
        length = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(change)), jnp.sum(jnp.square(gradient))))
        damping = jnp.where(length > SLOW * last_length, 0.5 * damping, jnp.minimum(1.5 * damping, 1.0))
        wider = _factor(identity + damping * change, mask)
        move = cho_solve((wider, True), gradient)
        size = jnp.sqrt(jnp.sum(jnp.square(wider.T @ move)))
        move *= damping * jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(size, 1e-30))
        return loc + _spread(factor, move[None])[0], factor @ wider, length, damping, count + 1

    carry = (start.loc, start.factor, jnp.asarray(jnp.inf), jnp.asarray(1.0), jnp.asarray(0))
    return lax.while_loop(going_on, step, carry)[:2]


@partial(jit, effort="moderate", static_argnums=(0, 3))
def local_lines(model: Model, dataset: Dataset, gaussian: LocalGaussian, num_directions: int) -> tuple[Lines, Anchor]:
    """The lines that bend one Gaussian: some for every row, and one for the prior of each latent.

    Args:
        model: The model.
        dataset: Padded dataset.
        gaussian: At one mode.
        num_directions: Lines of each row; 0 if rows cannot be taken one by one.
    """
    loc, factor = gaussian.loc, gaussian.factor
    mask = model.space.mask(dataset.plate_masks)
    identity = jnp.eye(mask.size)

    def log_prior(z: Array) -> Array:
        return model.log_prior_and_likelihood(jnp.where(mask, z, 0.0), dataset)[0]

    spreads = jnp.linalg.norm(whiten(factor, identity), axis=1)
    prior = vmap(lambda axis, spread: _profile(log_prior, loc, spread * axis))(identity, spreads)
    designs, profiles, actives = [identity], [prior], [mask]

    if num_directions:

        def one_row(row: tuple[dict[str, Array], Array]) -> tuple[Array, Array]:
            def value(z: Array) -> Array:
                return lone_row_log_likelihood(model, jnp.where(mask, z, 0.0), dataset, *row)

            hessian = jax.hessian(value)(loc)
            found = _leading(whiten(factor, whiten(factor, hessian).T), num_directions)
            steps = _spread(factor, found.T)
            return found.T @ factor.T, vmap(lambda along: _profile(value, loc, along))(steps)

        rows, row_profiles = lax.map(one_row, (dataset.values, dataset.row_mask), batch_size=256)
        designs.insert(0, jnp.reshape(rows, (-1, mask.size)))
        profiles.insert(0, jnp.reshape(row_profiles, (-1, NODES.size)))
        actives.insert(0, jnp.repeat(dataset.row_mask, num_directions))

    design, profile, active = (jnp.concatenate(parts) for parts in (designs, profiles, actives))
    is_prior = jnp.arange(len(active)) >= len(active) - mask.size
    profile = jnp.where(active[:, None], jnp.nan_to_num(profile, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    scale = jnp.where(is_prior, jnp.concatenate([jnp.ones(len(active) - mask.size), spreads]), 1.0)
    curvature = jnp.abs(profile @ (NODE_WEIGHTS * NODES)) / jnp.square(scale)
    lines = Lines(jnp.where(active[:, None], design, 0.0), active, is_prior, mask)
    anchor = Anchor(loc, factor, jnp.zeros(len(active)), scale, curvature, profile)
    # Rows of a regression share the precision among them; these may claim more of it than there is.
    directions = anchor.directions(lines) * mask
    claimed = (directions.T * (curvature * jnp.square(scale))) @ directions
    most = jnp.maximum(jnp.linalg.eigvalsh(claimed)[-1], 1.0)
    return lines, eqx.tree_at(lambda a: (a.curvature, a.profile), anchor, (curvature / most, profile / most))


def _profile(value: Target, loc: Array, along: Array) -> Float[Array, " node"]:
    """Slopes of a function at the nodes of the line from `loc`, in units of `along`."""
    return vmap(lambda t: jax.jvp(value, (loc + t * along,), (along,))[1])(jnp.asarray(NODES))


def _leading(hessian: Float[Array, "latent latent"], number: int) -> Float[Array, "latent number"]:
    """Its eigenvectors of largest absolute eigenvalue, about."""
    hessian = jnp.nan_to_num(hessian, nan=0.0, posinf=0.0, neginf=0.0)
    size = jnp.maximum(jnp.max(jnp.abs(hessian)), 1e-15)  # its square still stands in float32
    start = jnp.cos(jnp.arange(1.0, hessian.shape[0] + 1.0)[:, None] * jnp.arange(1.0, number + 1.0))
    frame = lax.fori_loop(
        0, NUM_POWER, lambda _, v: jnp.linalg.qr(v * 1e-3 + hessian @ (hessian @ v) / size**2)[0], start
    )
    return frame @ jnp.linalg.eigh(frame.T @ hessian @ frame)[1]


def _spread(factor: Array, points: Array) -> Array:
    r"""$L^{-\top} \epsilon$ for every row."""
    return solve_triangular(factor, points.T, lower=True, trans=1).T


def _factor(matrix: Float[Array, "latent latent"], mask: Array) -> Float[Array, "latent latent"]:
    """Cholesky factor of a matrix with its eigenvalues made positive; the identity at masked latents."""
    both = mask[:, None] & mask[None, :]
    matrix = jnp.where(both, jnp.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0), jnp.eye(mask.size))
    size = jnp.sqrt(jnp.maximum(jnp.abs(jnp.diagonal(matrix)), 1e-12))
    values, vectors = jnp.linalg.eigh(matrix / size[:, None] / size[None, :])
    values = jnp.abs(values)
    values = jnp.maximum(values, LEAST_CURVATURE * jnp.max(values))
    return size[:, None] * jnp.linalg.cholesky((vectors * values) @ vectors.T)


@cache
def _points(size: int) -> Float[np.ndarray, "point latent"]:
    """Quasi-random points in pairs of opposites, with covariance I exactly: Gaussian averages stay exact."""
    from scipy.stats import qmc  # here, since it takes a second

    half = 1 << int(np.ceil(np.log2(max(FEWEST_POINTS // 2, 2 * size))))
    drawn = qmc.MultivariateNormalQMC(np.zeros(size), rng=np.random.default_rng(0)).random(half)
    drawn = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn / half)).T
    return np.concatenate([drawn, -drawn]).astype(np.float32)
