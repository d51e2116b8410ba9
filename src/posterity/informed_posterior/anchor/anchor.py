r"""The anchor: a Gaussian that is already close to the posterior, by iteration on the log joint itself.

Two stages. Damped Newton steps find the mode. Then the same iteration with every term averaged over the Gaussian that
it is part of,

$$\Lambda + \sum_i h_i J_i' J_i = H, \quad h_i = -E[l_i''], \qquad
  z \leftarrow z + H^{-1} \big(\lambda - \Lambda z + \sum_i E[l_i'] J_i'\big), \quad
  \eta_i \sim N(o_i + J_i z,\ \sigma_i^2 = J_i H^{-1} J_i'),$$

whose fixed point is the Gaussian that minimises KL(q || p) (Opper and Archambeau 2009). Each average is an integral
over one number, done by Gauss-Hermite nodes $x_q$ on the first derivatives alone: by Stein's identity
$E[l''] = E[l' \epsilon] / \sigma$, which sees kinks (a Laplace prior) and loses nothing to rounding where $l$ is huge.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from posterity.informed_posterior.anchor.newton import ValueAt, damped_newton
from posterity.informed_posterior.read.lines import Lines
from posterity.informed_posterior.read.terms import Terms

__all__ = ["NODES", "NODE_WEIGHTS", "Anchor", "find_anchor", "laplace_anchor", "whiten"]

NUM_PRIOR = 8
MOST_NEWTON, NEWTON_GAIN = 25, 0.01  # steps; nats by which a step must improve the log joint to go on
MOST_SMOOTHED, SETTLED = 30, 0.02  # steps; length of a step, in posterior standard deviations, that is short enough
LONGEST_STEP = 2.0  # of the smoothed iteration, in posterior standard deviations
SLOW = 0.7  # a smoothed step that is longer than this share of the one before halves the damping
LEAST_PRIOR = 0.01  # least curvature of a prior term in Newton's method, in units of its own width
MOST_CURVED = 1e15
NUDGE = 0.01  # in units of the prior's own width
JITTER = 1e-6  # relative to the diagonal

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
NODES, NODE_WEIGHTS = _NODES.astype(np.float32), (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)


class Anchor(eqx.Module):
    r"""$N(z^*, H^{-1})$ and every term as it looks from there.

    Attributes:
        loc: $z^*$.
        factor: Lower-triangular $L$, $L L' = H$.
        predictor: $\eta_i$ at $z^*$.
        scale: $\sigma_i$, the standard deviation of the predictor; 1 where inactive.
        curvature: $h_i \ge 0$ as it stands in $H$ (the absolute value, for terms that are convex here).
        profile: $\sigma_i l_i'(\eta_i + \sigma_i x_q)$ at the nodes.
    """

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]
    predictor: Float[Array, " term"]
    scale: Float[Array, " term"]
    curvature: Float[Array, " term"]
    profile: Float[Array, "term node"]

    def directions(self, lines: Lines) -> Float[Array, "term latent"]:
        r"""Unit vectors $\hat\jmath_i = L^{-1} J_i' / \sigma_i$, in coordinates where q is standard normal."""
        return whiten(self.factor, lines.design) / self.scale[:, None]

    def log_evidence(self, terms: Terms) -> Float[Array, ""]:
        r"""$E_q[\log p(z, D)]$ + entropy of q, in nats: a lower bound on the log evidence."""
        return terms.quadratic(self.loc) + self.averaged(terms)

    def averaged(self, terms: Terms) -> Float[Array, ""]:
        """What `log_evidence` adds to the quadratic part of the log joint at `loc`."""
        values = jax.vmap(terms.values)(self.predictor + NODES[:, None] * self.scale)
        half_trace = 0.5 * jnp.trace(cho_solve((self.factor, True), terms.precision))
        per_latent = 0.5 * (1.0 + np.log(2.0 * np.pi)) - jnp.log(jnp.diagonal(self.factor))
        entropy = jnp.sum(jnp.where(terms.mask, per_latent, 0.5))  # 0.5 cancels a masked latent's half trace
        return jnp.sum(NODE_WEIGHTS @ values) - half_trace + entropy


def find_anchor(terms: Terms, start: Float[Array, " latent"] | None = None) -> Anchor:
    """The Gaussian closest to one dataset's posterior; finite whatever the data.

    Args:
        terms: The log joint.
        start: Another point than the prior's middle to look for the mode from.
    """
    prior, widths = _prior_gaussian(terms)
    laplace = _laplace(terms, _newton(terms, _start(terms, prior, start), widths), widths)
    found = _better(terms, _smooth(terms, laplace), laplace)
    return jax.tree.map(lambda a, b: jnp.where(_is_finite(found), a, b), found, prior)


def laplace_anchor(terms: Terms, start: Float[Array, " latent"] | None = None) -> Anchor:
    """The mode and the curvature there: what `find_anchor` begins with."""
    prior, widths = _prior_gaussian(terms)
    found = _laplace(terms, _newton(terms, _start(terms, prior, start), widths), widths)
    return jax.tree.map(lambda a, b: jnp.where(_is_finite(found), a, b), found, prior)


def _start(terms: Terms, prior: Anchor, other: Array | None) -> Array:
    """The better of two points to start from, and never quite the middle of the prior.

    There, predictors are often exactly 0, where likelihoods that are written with max(x, 0) and |x| (as Bernoulli's
    by logits is) are smooth but have a wrong automatic derivative.
    """
    index = jnp.arange(terms.mask.size)
    nudge = jnp.where(terms.mask, NUDGE * jnp.cos(1.0 + index) / jnp.diagonal(prior.factor), 0.0)
    start = prior.loc + nudge
    if other is None:
        return start
    other = other + nudge
    return jnp.where(terms.log_joint(other) > terms.log_joint(start), other, start)


def whiten(factor: Float[Array, "latent latent"], vectors: Float[Array, "n latent"]) -> Float[Array, "n latent"]:
    r"""$L^{-1} v$ for every row `v`."""
    return solve_triangular(factor, vectors.T, lower=True).T


def _prior_gaussian(terms: Terms) -> tuple[Anchor, Array]:
    """A Gaussian near the prior, and a width for each prior term (0 for data terms).

    Each non-Gaussian prior term is matched alone, by the smoothed iteration in one dimension.
    """

    def match(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        centre, width = carry
        slopes = _slopes_at_nodes(terms, centre, width)
        precision = jnp.maximum(-(NODE_WEIGHTS * NODES) @ slopes / width, 1e-12)
        new_width = jnp.clip(lax.rsqrt(precision), 0.1 * width, 10.0 * width)
        step = jnp.clip((NODE_WEIGHTS @ slopes) / precision, -3.0 * new_width, 3.0 * new_width)
        return (centre + step, new_width), None

    is_prior = terms.is_prior & terms.active
    (centre, width), _ = lax.scan(match, (terms.offset, jnp.ones_like(terms.offset)), None, length=NUM_PRIOR)
    curvature = jnp.where(is_prior, 1.0 / jnp.square(width), 0.0)
    linear = terms.linear + terms.design.T @ (curvature * jnp.where(is_prior, centre - terms.offset, 0.0))
    factor = _cholesky(_precision(terms, curvature))
    anchor = _look(terms, cho_solve((factor, True), linear), factor, curvature)
    anchor = eqx.tree_at(lambda a: a.profile, anchor, jnp.zeros_like(anchor.profile))
    return anchor, jnp.where(is_prior, width, 0.0)


def _newton(terms: Terms, start: Array, widths: Array) -> Array:
    """The mode, or the best point met on the way to it."""

    def look(loc: Array) -> tuple[Array, ValueAt]:
        predictor = terms.predictor(loc)
        slopes, curvature = _local(terms, predictor, widths)
        gradient = terms.linear - terms.precision @ loc + terms.design.T @ slopes
        direction = cho_solve((_cholesky(_precision(terms, curvature)), True), gradient)
        along = terms.design @ direction
        return direction, lambda t: terms.quadratic(loc + t * direction) + jnp.sum(terms.values(predictor + t * along))

    return damped_newton(look, start, gain=NEWTON_GAIN, most=MOST_NEWTON)


def _local(terms: Terms, predictor: Array, widths: Array) -> tuple[Array, Array]:
    """Slopes and absolute curvatures at a point; those of prior terms averaged over the prior's width, for kinks."""
    slopes, curvature = terms.slopes_and_curvatures(predictor)
    wide = jnp.where(widths > 0.0, widths, 1.0)
    smooth = jnp.abs((NODE_WEIGHTS * NODES) @ _slopes_at_nodes(terms, predictor, wide)) / wide
    smooth = jnp.maximum(smooth, LEAST_PRIOR / jnp.square(wide))
    return slopes, _usable(jnp.where(widths > 0.0, smooth, curvature))


def _laplace(terms: Terms, loc: Array, widths: Array) -> Anchor:
    """The anchor at a mode."""
    curvature = _local(terms, terms.predictor(loc), widths)[1]
    return _look(terms, loc, _cholesky(_precision(terms, curvature)), curvature)


def _smooth(terms: Terms, start: Anchor) -> Anchor:
    """The smoothed iteration, damped where it does not come closer."""

    def going_on(carry: tuple[Anchor, Array, Array, Array]) -> Array:
        _, length, _, count = carry
        return (length > SETTLED) & (count < MOST_SMOOTHED)

    def step(carry: tuple[Anchor, Array, Array, Array]) -> tuple[Anchor, Array, Array, Array]:
        here, last_length, damping, count = carry
        averaged = _usable(here.profile @ (NODE_WEIGHTS * NODES) / jnp.square(here.scale))
        gradient = terms.linear - terms.precision @ here.loc
        gradient += terms.design.T @ (here.profile @ NODE_WEIGHTS / here.scale)
        change = averaged - here.curvature
        bent = jnp.sqrt(jnp.sum(jnp.square(change * jnp.square(here.scale))))
        white = solve_triangular(here.factor, gradient, lower=True)
        length = jnp.maximum(bent, jnp.sqrt(jnp.sum(jnp.square(white))))
        damping = jnp.where(length > SLOW * last_length, 0.5 * damping, jnp.minimum(1.5 * damping, 1.0))
        curvature = here.curvature + damping * change
        factor = _cholesky(_precision(terms, curvature))
        move = cho_solve((factor, True), gradient)
        size = jnp.sqrt(jnp.sum(jnp.square(factor.T @ move)))
        move *= damping * jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(size, 1e-30))
        return _look(terms, here.loc + move, factor, curvature), length, damping, count + 1

    carry = (start, jnp.asarray(jnp.inf), jnp.asarray(1.0), jnp.asarray(0))
    return lax.while_loop(going_on, step, carry)[0]


def _better(terms: Terms, first: Anchor, second: Anchor) -> Anchor:
    """The anchor with the higher bound on the evidence."""
    bounds = jnp.stack([first.log_evidence(terms), second.log_evidence(terms)])
    bounds = jnp.where(jnp.isfinite(bounds), bounds, -jnp.inf)
    use_first = _is_finite(first) & ((bounds[0] >= bounds[1]) | ~_is_finite(second))
    return jax.tree.map(lambda a, b: jnp.where(use_first, a, b), first, second)


def _is_finite(anchor: Anchor) -> Bool[Array, ""]:
    return jnp.isfinite(jnp.sum(anchor.loc) + jnp.sum(anchor.factor) + jnp.sum(anchor.profile))


def _look(terms: Terms, loc: Array, factor: Array, curvature: Array) -> Anchor:
    """All terms as seen from a Gaussian."""
    predictor = terms.predictor(loc)
    scale = jnp.sqrt(jnp.sum(jnp.square(whiten(factor, terms.design)), axis=1))
    counts = terms.active & (scale > 0.0)  # the others depend on no latent
    scale = jnp.where(counts, scale, 1.0)
    profile = scale[:, None] * _slopes_at_nodes(terms, predictor, scale).T
    return Anchor(loc, factor, predictor, scale, jnp.where(counts, curvature, 0.0), profile)


def _slopes_at_nodes(terms: Terms, centre: Array, width: Array) -> Float[Array, "node term"]:
    return jax.vmap(terms.slopes)(centre + NODES[:, None] * width)


def _usable(curvature: Array) -> Array:
    """Absolute values, neither infinite nor NaN: a term that is convex here pulls the other way, in the map."""
    return jnp.clip(jnp.where(jnp.isnan(curvature), 0.0, jnp.abs(curvature)), 0.0, MOST_CURVED)


def _precision(terms: Terms, curvature: Array) -> Float[Array, "latent latent"]:
    return terms.precision + (terms.design.T * curvature) @ terms.design


def _cholesky(matrix: Float[Array, "latent latent"]) -> Float[Array, "latent latent"]:
    """Cholesky factor of a positive semi-definite matrix, equilibrated and with a trace of jitter, for float32."""
    size = jnp.sqrt(jnp.maximum(jnp.diagonal(matrix), 1e-30))
    scaled = matrix / size[:, None] / size[None, :]
    return size[:, None] * jnp.linalg.cholesky(scaled + JITTER * jnp.eye(matrix.shape[0]))
