r"""A skewed posterior: standard normal noise, bent along the directions of the rows.

$$u = T(e) = e + \sum_i \hat\jmath_i \big(\alpha_i + \ell_i\, \phi_i(\hat\jmath_i \cdot e)\big), \qquad
  \frac{\partial T}{\partial e} = I + \sum_i \ell_i\, \phi_i'(\hat\jmath_i \cdot e)\, \hat\jmath_i \hat\jmath_i'.$$

$\hat\jmath_i$ is the unit direction of row i and $\ell_i$ its leverage, so that
$\sum_i \ell_i \hat\jmath_i \hat\jmath_i' \preceq I$. Each slope $\phi_i'$ runs in straight lines through five values,
all above -BETA, and is constant beyond them: so the Jacobian is symmetric, continuous and at least 1 - BETA, T is the
gradient of a convex function, and its inverse exists and is found by Newton's method. Straight lines, since on a CPU
anything smoother costs more than all the rest.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.base import AbstractTransport
from posterity.informed_posterior.algebra.arrow import ArrowDesign, Design
from posterity.informed_posterior.algebra.dense import cholesky, log_dets, one_plus, solve

__all__ = ["BETA", "CENTRES", "RowMap", "bounded_slope"]

BETA = 0.9
CENTRES = (-2.4, -1.2, 0.0, 1.2, 2.4)  # where the slopes are given, in standard deviations of the row's predictor
GAP = 1.2
NUM_INVERSE = 12
SAMPLES_TIMES_TERMS, FEWEST_SAMPLES = 2**20, 8


def bounded_slope(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """A smooth increasing function above -BETA, equal to `raw` at 0 and close to it above."""

    def hyperbola(y: Array | float) -> Array:
        return 0.5 * (y + jnp.sqrt(jnp.square(y) + 0.04))

    return BETA * (hyperbola(raw + BETA) / hyperbola(BETA) - 1.0)


def _mean_ramps() -> list[float]:
    r"""Mean over $t \sim N(0, 1)$ of what each ramp adds to $\phi$: what centres the map."""
    t = np.linspace(-12.0, 12.0, 48_001)
    density = np.exp(-0.5 * t**2) / np.sqrt(2.0 * np.pi)
    ramps = [0.5 * np.clip(t - c, 0.0, GAP) ** 2 + GAP * np.maximum(t - c - GAP, 0.0) for c in CENTRES[:-1]]
    return [float(np.trapezoid(ramp * density, t)) for ramp in ramps]


MEAN_RAMPS = _mean_ramps()


class RowMap(AbstractTransport):
    """Posterior of one dataset in the anchor's coordinates.

    Attributes:
        directions: Unit vectors.
        leverage: At least 0; 0 for rows that count nothing.
        shift: Along each direction.
        slopes: From left to right, above -BETA.
        mask: True for active latents.
    """

    directions: Design
    leverage: Float[Array, " term"]
    shift: Float[Array, " term"]
    slopes: Float[Array, "term 5"]
    mask: Bool[Array, " latent"]

    @classmethod
    def straight(cls, mask: Bool[Array, " latent"]) -> "RowMap":
        """The identity: no rows."""
        none = jnp.zeros(0)
        return cls(jnp.zeros((0, mask.size)), none, none, jnp.zeros((0, len(CENTRES))), mask)

    def of_size(self, size: int) -> "RowMap":
        """The same without latents beyond the first few, which are masked."""
        parts = self.directions[..., :size], self.mask[..., :size]
        return eqx.tree_at(lambda row_map: (row_map.directions, row_map.mask), self, parts)

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        r"""$T(e)$ and $\log\det \partial T / \partial e$."""
        u, log_det = self.transform_many(noise[None])
        return u[0], log_det[0]

    def transform_many(
        self, noise: Float[Array, "sample latent"]
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """The map and its log-det at many points."""
        if not self.leverage.size:
            return noise, jnp.zeros(noise.shape[0])
        if isinstance(self.directions, ArrowDesign):  # of many terms: in turns
            at_once = max(FEWEST_SAMPLES, SAMPLES_TIMES_TERMS // self.leverage.size)
            missing = -len(noise) % at_once
            turns = jnp.reshape(jnp.pad(noise, ((0, missing), (0, 0))), (-1, at_once, noise.shape[1]))
            bent, log_det = lax.map(self._transform, turns)
            return jnp.reshape(bent, (-1, noise.shape[1]))[: len(noise)], jnp.ravel(log_det)[: len(noise)]
        return self._transform(noise)

    def _transform(self, noise: Float[Array, "sample latent"]) -> tuple[Array, Array]:
        # Samples along the last axis: numbers of a row are then the same along vectors, which CPUs do at once.
        moved, bend = self._bend(self.directions @ noise.T)
        return noise + (self.directions.T @ moved).T, log_dets(self.directions, bend)

    def inverse_and_log_det(self, u: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Inverse by damped Newton steps, then one more through which gradients flow."""
        if not self.leverage.size:
            return u, jnp.zeros(())
        fixed, target = lax.stop_gradient((self, u))

        def error(noise: Array) -> tuple[Array, Array]:
            moved, bend = fixed._bend(fixed.directions @ noise[:, None])
            return noise + fixed.directions.T @ moved[:, 0] - target, bend[:, 0]

        def improve(noise: Array, _: None) -> tuple[Array, None]:
            gap, bend = error(noise)
            step = solve(cholesky(one_plus(fixed.directions, bend), 0.0), gap)
            sizes = jnp.asarray([1.0, 0.5, 0.2])
            norms = vmap(lambda t: jnp.sum(jnp.square(error(noise - t * step)[0])))(sizes)
            return noise - sizes[jnp.argmin(norms)] * step, None

        noise = lax.stop_gradient(lax.scan(improve, target, None, length=NUM_INVERSE)[0])
        factor = cholesky(one_plus(fixed.directions, error(noise)[1]), 0.0)
        # d noise = J^-1 (du - dT): the implicit function theorem, as one Newton step from the solution.
        moved = noise + self.directions.T @ self._bend(self.directions @ noise[:, None])[0][:, 0]
        noise = noise - solve(factor, moved - u)
        bend = self._bend(self.directions @ noise[:, None])[1]
        return noise, -log_dets(self.directions, bend)[0]

    def _bend(self, t: Float[Array, "term sample"]) -> tuple[Float[Array, "term sample"], Float[Array, "term sample"]]:
        r"""$\alpha_i + \ell_i \phi_i(t_i)$ with $\phi_i$ of mean 0, and $\ell_i \phi_i'(t_i)$."""
        first, *changes = (self.leverage * jnp.diff(self.slopes, axis=1, prepend=0.0).T)[:, :, None]
        value, bend = self.shift[:, None] + first * t, first * jnp.ones_like(t)
        past = jnp.maximum(t - CENTRES[0], 0.0)
        for centre, mean, change in zip(CENTRES[1:], MEAN_RAMPS, changes, strict=True):
            ramp, past = jnp.minimum(past, GAP), jnp.maximum(t - centre, 0.0)
            bend += change / GAP * ramp
            value += change / GAP * (0.5 * jnp.square(ramp) + GAP * past - mean)
        return value, bend
