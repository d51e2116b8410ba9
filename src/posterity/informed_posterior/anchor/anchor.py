r"""The anchor: a Gaussian that is already close to the posterior, by iteration on the log joint itself.

Two stages. Damped Newton steps find the mode. Then the same iteration with every term averaged over the Gaussian that
it is part of,

$$\Lambda + \sum_i h_i J_i' J_i = H, \quad h_i = -E[l_i''], \qquad
  z \leftarrow z + H^{-1} \big(\lambda - \Lambda z + \sum_i E[l_i'] J_i'\big), \quad
  \eta_i \sim N(o_i + J_i z,\ \sigma_i^2 = J_i H^{-1} J_i'),$$

whose fixed point is the Gaussian that minimises KL(q || p) (Opper and Archambeau 2009). Each average is an integral
over one number, done by Gauss-Hermite nodes $x_q$ on the first derivatives alone: by Stein's identity
$E[l''] = E[l' \epsilon] / \sigma$, which sees kinks (a Laplace prior) and loses nothing to rounding where $l$ is huge.

All is done for many log joints at once, by small programs called in turn. Those that hold the model's densities do
nothing else; those that do linear algebra take arrays, and are compiled once for all models.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, Bool, Float, Int

from posterity.informed_posterior.algebra.arrow import Design, Factor, Precision
from posterity.informed_posterior.algebra.dense import (
    cholesky,
    gaussian,
    gram,
    half_solved,
    lengths,
    log_diagonal,
    rows_scaled,
    solve,
    stretched,
    trace,
    whiten,
)
from posterity.informed_posterior.anchor.kinks import missed_by_nodes
from posterity.informed_posterior.anchor.newton import STEP_SIZES, best_step
from posterity.informed_posterior.anchor.nodes import NODE_WEIGHTS, NODES
from posterity.informed_posterior.read.lines import Lines
from posterity.informed_posterior.read.terms import Terms, each_problem
from posterity.runtime.compile import jit, while_loop

__all__ = [
    "Anchor",
    "find_anchor",
    "find_anchors",
    "laplace_anchor",
    "laplace_anchors",
]

NUM_PRIOR = 8
MOST_NEWTON, NEWTON_GAIN = 25, 0.01  # steps; nats by which a step must improve the log joint to go on
MOST_SMOOTHED, SETTLED = 30, 0.02  # steps; length of a step, in posterior standard deviations, that is short enough
LONGEST_STEP = 2.0  # of the smoothed iteration, in posterior standard deviations
SLOW = 0.7  # a smoothed step that is longer than this share of the one before halves the damping
LEAST_PRIOR = 0.01  # least curvature of a prior term in Newton's method, in units of its own width
MOST_CURVED = 1e15
NUDGE = 0.01  # in units of the prior's own width


class Anchor(eqx.Module):
    r"""$N(z^*, H^{-1})$ and every term as it looks from there.

    Attributes:
        loc: $z^*$.
        factor: Lower-triangular $L$, $L L' = H$; dense, or an arrow as the design is.
        predictor: $\eta_i$ at $z^*$.
        scale: $\sigma_i$, the standard deviation of the predictor; 1 where inactive.
        curvature: $h_i \ge 0$ as it stands in $H$ (the absolute value, for terms that are convex here).
        profile: $\sigma_i l_i'(\eta_i + \sigma_i x_q)$ at the nodes.
    """

    loc: Float[Array, " latent"]
    factor: Factor
    predictor: Float[Array, " term"]
    scale: Float[Array, " term"]
    curvature: Float[Array, " term"]
    profile: Float[Array, "term node"]

    def directions(self, lines: Lines) -> Design:
        r"""Unit vectors $\hat\jmath_i = L^{-1} J_i' / \sigma_i$, in coordinates where q is standard normal."""
        return rows_scaled(whiten(self.factor, lines.design), 1.0 / self.scale)


class Search(eqx.Module):
    """Where Newton's method stands.

    Attributes:
        loc: The best point so far.
        direction: Where to go from there; 0 when there is nowhere to go.
        slopes: $l_i'$ at `loc`.
        curvature: $-l_i''$ at `loc`, made usable; of prior terms averaged over their own width.
        gained: Nats that the last step improved the log joint by.
        count: Steps so far.
    """

    loc: Float[Array, " latent"]
    direction: Float[Array, " latent"]
    slopes: Float[Array, " term"]
    curvature: Float[Array, " term"]
    gained: Float[Array, ""]
    count: Int[Array, ""]

    @property
    def going_on(self) -> Bool[Array, "*problem"]:
        """Whether the last step was worth it; the first only looks which of two points to start from."""
        return ((self.gained > NEWTON_GAIN) | (self.count == 1)) & (self.count < MOST_NEWTON)


class Progress(eqx.Module):
    """Of the smoothed iteration.

    Attributes:
        length: Of the last step, in posterior standard deviations.
        damping: Of the next one.
        count: Steps so far.
    """

    length: Float[Array, "*problem"]
    damping: Float[Array, "*problem"]
    count: Int[Array, "*problem"]

    @property
    def going_on(self) -> Bool[Array, "*problem"]:
        """Whether the last step was still long."""
        return (self.length > SETTLED) & (self.count < MOST_SMOOTHED)


def find_anchor(terms: Terms, start: Float[Array, " latent"] | None = None) -> Anchor:
    """The Gaussian closest to one dataset's posterior; finite whatever the data.

    Args:
        terms: The log joint.
        start: Another point than the prior's middle to look for the mode from.
    """
    return _one(find_anchors, terms, start)


def laplace_anchor(terms: Terms, start: Float[Array, " latent"] | None = None) -> Anchor:
    """The mode and the curvature there: what `find_anchor` begins with."""
    return _one(laplace_anchors, terms, start)


def _one(search: Callable[..., tuple[Anchor, Array]], terms: Terms, start: Array | None) -> Anchor:
    alone = dataclasses.replace(terms, is_shared=False)
    lead = partial(jax.tree.map, lambda leaf: leaf[None, None])
    return jax.tree.map(lambda leaf: leaf[0, 0], search(lead(alone), lead(start))[0])


def find_anchors(
    terms: Terms, start: Float[Array, "dataset point latent"] | None = None
) -> tuple[Anchor, Float[Array, "dataset point"]]:
    r"""`find_anchor` of many log joints at once, and what their bounds add to the quadratic parts.

    Args:
        terms: Leading axes run along datasets and, within each, points; along datasets alone for a shared design.
        start: Other points to look for the modes from.

    Returns:
        The anchors, and for each $E_q[\sum_i l_i]$ + entropy - half the trace of `precision` over q: with
        `terms.quadratic(anchor.loc)`, the bound on the log evidence. -inf where nothing finite was found.
    """
    affine = terms.affine
    if not terms.offset.shape[2]:
        return _gaussian(affine)
    prior, laplace = _find_modes(terms, affine, start)
    return _choose(affine, prior, _find_smooth(terms, affine, laplace[0]), laplace)


def laplace_anchors(
    terms: Terms, start: Float[Array, "dataset point latent"] | None = None
) -> tuple[Anchor, Float[Array, "dataset point"]]:
    """`laplace_anchor` of many log joints at once; see `find_anchors`."""
    affine = terms.affine
    if not terms.offset.shape[2]:
        return _gaussian(affine)
    prior, laplace = _find_modes(terms, affine, start)
    return _choose(affine, prior, laplace, laplace)


def _find_modes(terms: Terms, affine: Terms, start: Array | None) -> tuple[Anchor, tuple[Anchor, Array]]:
    """Gaussians near the priors; those at the modes, with what their terms average to."""
    widths, centres = _match_priors(terms) if terms.has_prior else (None, None)
    prior, search = _begin(affine, widths, centres, start)
    search = while_loop(
        lambda search: jnp.any(search.going_on),
        lambda search: _advance(terms, widths, _aim(affine, search)),
        _advance(terms, widths, search),
    )
    return prior, _look(terms, _laplace(affine, search))


def _find_smooth(terms: Terms, affine: Terms, start: Anchor) -> tuple[Anchor, Array]:
    """The smoothed iteration, damped where it does not come closer."""

    def step(carry: tuple[Anchor, Array, Progress]) -> tuple[Anchor, Array, Progress]:
        anchor, progress = _smooth(affine, carry[0], carry[2])
        return *_look(terms, anchor), progress

    ones = jnp.ones(start.loc.shape[:2])
    begun = Progress(jnp.inf * ones, ones, jnp.zeros(ones.shape, int))
    return while_loop(lambda carry: jnp.any(carry[2].going_on), step, (start, jnp.zeros_like(ones), begun))[:2]


# ------------------------------------------------------------------ programs with the model's own densities in them


@partial(jit, effort="moderate")
@each_problem
def _match_priors(terms: Terms) -> tuple[Array, Array]:
    """Widths (0 for data terms) and centres of Gaussians near each non-Gaussian prior term.

    Each is matched alone, by the smoothed iteration in one dimension.
    """

    def match(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        centre, width = carry
        slopes = _slopes_at_nodes(terms, centre, width)
        precision = jnp.maximum(-(NODE_WEIGHTS * NODES) @ slopes / width, 1e-12)
        new_width = jnp.clip(lax.rsqrt(precision), 0.1 * width, 10.0 * width)
        step = jnp.clip((NODE_WEIGHTS @ slopes) / precision, -3.0 * new_width, 3.0 * new_width)
        return (centre + step, new_width), None

    (centre, width), _ = lax.scan(match, (terms.offset, jnp.ones_like(terms.offset)), None, length=NUM_PRIOR)
    return jnp.where(terms.is_prior & terms.active, width, 0.0), centre


@partial(jit, effort="moderate")
@each_problem
def _advance(terms: Terms, widths: Array | None, search: Search) -> Search:
    """Goes along the direction as far as the best of a few step sizes, none at all among them, and looks around."""
    sizes = jnp.asarray(STEP_SIZES)
    predictor, along = terms.predictor(search.loc), terms.design @ search.direction
    values = vmap(
        lambda t: terms.quadratic(search.loc + t * search.direction) + jnp.sum(terms.values(predictor + t * along))
    )(sizes)
    size, gained = best_step(sizes, values)
    # `where`, since 0 times an infinite direction is NaN.
    loc = jnp.where(size > 0.0, search.loc + size * search.direction, search.loc)
    slopes, curvature = terms.slopes_and_curvatures(terms.predictor(loc))
    if widths is not None:  # curvatures of prior terms are averaged over the prior's width, for kinks
        wide = jnp.where(widths > 0.0, widths, 1.0)
        smooth = jnp.abs((NODE_WEIGHTS * NODES) @ _slopes_at_nodes(terms, terms.predictor(loc), wide)) / wide
        smooth = jnp.maximum(smooth, LEAST_PRIOR / jnp.square(wide))
        curvature = jnp.where(widths > 0.0, smooth, curvature)
    return Search(loc, search.direction, slopes, _usable(curvature), gained, search.count + 1)


@partial(jit, effort="moderate")
@each_problem
def _look(terms: Terms, anchor: Anchor) -> tuple[Anchor, Array]:
    """The anchor with its terms' slopes at the nodes, and the sum of what the terms average to over it."""
    # A row that no latent of the rest moves is where it is, though scales may decide its value there.
    spread = jnp.where(lengths(terms.design) > 0.0, anchor.scale, 0.0)
    nodes = anchor.predictor + NODES[:, None] * spread
    values, pull_back = jax.vjp(vmap(terms.values), nodes)
    (slopes,) = pull_back(jnp.ones_like(values))
    profile = spread[:, None] * slopes.T
    profile += missed_by_nodes(values.T, profile)
    return dataclasses.replace(anchor, profile=profile), NODE_WEIGHTS @ jnp.sum(values, axis=1)


def _slopes_at_nodes(terms: Terms, centre: Array, width: Array) -> Float[Array, "node term"]:
    return vmap(terms.slopes)(centre + NODES[:, None] * width)


# ------------------------------------------------------------------ programs that serve every model


@partial(jit, effort="moderate")
@each_problem
def _gaussian(affine: Terms) -> tuple[Anchor, Array]:
    """The anchor where there are no terms: the posterior itself, and what `find_anchors` gives beside it."""
    loc, factor = gaussian(affine.precision, affine.linear)
    anchor = _geometry(affine, loc, factor, jnp.zeros_like(affine.offset))
    half_trace = 0.5 * affine.mask.size  # of the precision over the posterior, which is its inverse
    return anchor, jnp.where(_is_finite(anchor), _entropy(affine, factor) - half_trace, -jnp.inf)


@partial(jit, effort="moderate")
@each_problem
def _begin(affine: Terms, widths: Array | None, centres: Array | None, other: Array | None) -> tuple[Anchor, Search]:
    """A Gaussian near the prior, and where to start: the better point on the way from its middle to another one.

    Never quite the middle: there, predictors are often exactly 0, where likelihoods that are written with max(x, 0)
    and |x| (as Bernoulli's by logits is) are smooth but have a wrong automatic derivative.
    """
    curvature, linear = jnp.zeros_like(affine.offset), affine.linear
    if widths is not None and centres is not None:
        is_prior = widths > 0.0
        curvature = jnp.where(is_prior, 1.0 / jnp.square(jnp.where(is_prior, widths, 1.0)), 0.0)
        linear += affine.design.T @ (curvature * jnp.where(is_prior, centres - affine.offset, 0.0))
    factor = cholesky(_precision(affine, curvature))
    loc = solve(factor, linear)
    prior = _geometry(affine, loc, factor, curvature)
    index = jnp.arange(affine.mask.size)
    start = loc + jnp.where(affine.mask, NUDGE * jnp.cos(1.0 + index) * jnp.exp(-log_diagonal(factor)), 0.0)
    direction = jnp.zeros_like(loc) if other is None else other - loc
    none = jnp.zeros_like(affine.offset)
    return prior, Search(start, direction, none, none, jnp.asarray(jnp.inf), jnp.asarray(0))


@partial(jit, effort="moderate")
@each_problem
def _aim(affine: Terms, search: Search) -> Search:
    """Newton's direction; none where the last step gained next to nothing."""
    gradient = affine.linear - affine.precision @ search.loc + affine.design.T @ search.slopes
    direction = solve(cholesky(_precision(affine, search.curvature)), gradient)
    return dataclasses.replace(search, direction=jnp.where(search.going_on, direction, 0.0))


@partial(jit, effort="moderate")
@each_problem
def _laplace(affine: Terms, search: Search) -> Anchor:
    """The anchor at a mode."""
    factor = cholesky(_precision(affine, search.curvature))
    return _geometry(affine, search.loc, factor, search.curvature)


@partial(jit, effort="moderate")
@each_problem
def _smooth(affine: Terms, anchor: Anchor, progress: Progress) -> tuple[Anchor, Progress]:
    """One step of the smoothed iteration; none where the last one was short."""
    averaged = _usable(anchor.profile @ (NODE_WEIGHTS * NODES) / jnp.square(anchor.scale))
    gradient = affine.linear - affine.precision @ anchor.loc
    gradient += affine.design.T @ (anchor.profile @ NODE_WEIGHTS / anchor.scale)
    change = averaged - anchor.curvature
    bent = jnp.sqrt(jnp.sum(jnp.square(change * jnp.square(anchor.scale))))
    white = half_solved(anchor.factor, gradient)
    length = jnp.maximum(bent, jnp.sqrt(jnp.sum(jnp.square(white))))
    slow = length > SLOW * progress.length
    damping = jnp.where(slow, 0.5 * progress.damping, jnp.minimum(1.5 * progress.damping, 1.0))
    curvature = anchor.curvature + damping * change
    factor = cholesky(_precision(affine, curvature))
    move = solve(factor, gradient)
    size = jnp.sqrt(jnp.sum(jnp.square(stretched(factor, move))))
    move *= damping * jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(size, 1e-30))
    moved = _geometry(affine, anchor.loc + move, factor, curvature), Progress(length, damping, progress.count + 1)
    return jax.tree.map(lambda new, old: jnp.where(progress.going_on, new, old), moved, (anchor, progress))


@partial(jit, effort="moderate")
@each_problem
def _choose(
    affine: Terms, prior: Anchor, first: tuple[Anchor, Array], second: tuple[Anchor, Array]
) -> tuple[Anchor, Array]:
    """The anchor with the higher bound on the evidence, that near the prior where none is finite."""
    averaged = jnp.stack([_averaged(affine, *first), _averaged(affine, *second)])
    bounds = averaged + jnp.stack([affine.quadratic(first[0].loc), affine.quadratic(second[0].loc)])
    bounds = jnp.where(jnp.isfinite(bounds), bounds, -jnp.inf)
    finite = jnp.stack([_is_finite(first[0]), _is_finite(second[0])])
    use_first = finite[0] & ((bounds[0] >= bounds[1]) | ~finite[1])
    better = jax.tree.map(lambda a, b: jnp.where(use_first, a, b), first[0], second[0])
    anchor = jax.tree.map(lambda a, b: jnp.where(_is_finite(better), a, b), better, prior)
    return anchor, jnp.where(jnp.any(finite), jnp.where(use_first, *averaged), -jnp.inf)


def _averaged(affine: Terms, anchor: Anchor, expected: Array) -> Float[Array, ""]:
    """What the bound on the evidence adds to the quadratic part of the log joint at `loc`."""
    return expected - 0.5 * trace(anchor.factor, affine.precision) + _entropy(affine, anchor.factor)


def _entropy(affine: Terms, factor: Factor) -> Float[Array, ""]:
    """Of the Gaussian in nats, and 0.5 for each masked latent, to cancel its half trace."""
    per_latent = 0.5 * (1.0 + np.log(2.0 * np.pi)) - log_diagonal(factor)
    return jnp.sum(jnp.where(affine.mask, per_latent, 0.5))


def _is_finite(anchor: Anchor) -> Bool[Array, ""]:
    sums = [jnp.sum(leaf) for leaf in jax.tree.leaves((anchor.loc, anchor.factor, anchor.profile))]
    return jnp.isfinite(sum(sums))


def _geometry(affine: Terms, loc: Array, factor: Factor, curvature: Array) -> Anchor:
    """All terms as seen from a Gaussian, but for their slopes."""
    scale = lengths(whiten(factor, affine.design))
    counts = affine.active & (scale > 0.0)  # the others depend on no latent
    scale = jnp.where(counts, scale, 1.0)
    profile = jnp.zeros((affine.offset.size, NODES.size))
    return Anchor(loc, factor, affine.predictor(loc), scale, jnp.where(counts, curvature, 0.0), profile)


def _usable(curvature: Array) -> Array:
    """Absolute values, neither infinite nor NaN: a term that is convex here pulls the other way, in the map."""
    return jnp.clip(jnp.where(jnp.isnan(curvature), 0.0, jnp.abs(curvature)), 0.0, MOST_CURVED)


def _precision(affine: Terms, curvature: Array) -> Precision:
    return affine.precision + gram(affine.design, curvature)
