r"""A skewed posterior: standard normal noise, bent along the directions of the rows.

$$u = T(e) = e + \sum_i \hat\jmath_i \big(\alpha_i + \ell_i\, \phi_i(\hat\jmath_i \cdot e)\big), \qquad
  \frac{\partial T}{\partial e} = I + \sum_i \ell_i\, \phi_i'(\hat\jmath_i \cdot e)\, \hat\jmath_i \hat\jmath_i'.$$

$\hat\jmath_i$ is the unit direction of row i and $\ell_i$ its leverage, so that
$\sum_i \ell_i \hat\jmath_i \hat\jmath_i' \preceq I$. Each $\phi_i'$ moves smoothly between five slopes from left to
right, all above -BETA: so the Jacobian is symmetric and at least 1 - BETA, T is the gradient of a convex function, and
its inverse exists and is found by Newton's method.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.posteriors.base import AbstractTransport, standard_normal_log_prob

__all__ = ["BETA", "CENTRES", "RowMap", "bounded_slope"]

BETA = 0.9
KNOTS = (-1.8, -0.6, 0.6, 1.8)  # where the slopes change, in standard deviations of the row's predictor
CENTRES = (-2.4, -1.2, 0.0, 1.2, 2.4)  # of the stretches between them
WIDTH = 0.6  # over which they change
NUM_INVERSE = 12


def bounded_slope(raw: Float[Array, "..."]) -> Float[Array, "..."]:
    """A smooth increasing function above -BETA, equal to `raw` at 0 and close to it above."""

    def hyperbola(y: Array | float) -> Array:
        return 0.5 * (y + jnp.sqrt(jnp.square(y) + 0.04))

    return BETA * (hyperbola(raw + BETA) / hyperbola(BETA) - 1.0)


def _mean_ramps() -> list[float]:
    r"""$E[\text{ramp}(t - k)]$ with $t \sim N(0, 1)$ for every knot $k$: what centres the map."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    ramps = [0.5 * (nodes - k + np.sqrt(WIDTH**2 + (nodes - k) ** 2)) for k in KNOTS]
    return [float(ramp @ weights / weights.sum()) for ramp in ramps]


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

    directions: Float[Array, "term latent"]
    leverage: Float[Array, " term"]
    shift: Float[Array, " term"]
    slopes: Float[Array, "term 5"]
    mask: Bool[Array, " latent"]

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws with their log densities; all draws at once, since that is matrix products."""
        noise = jnp.where(self.mask, jax.random.normal(rng_key, (num_samples, self.mask.size)), 0.0)
        u, log_det = self.transform_many(noise)
        return u, vmap(standard_normal_log_prob, in_axes=(0, None))(noise, self.mask) - log_det

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
        moved, bend = self._bend(noise @ self.directions.T)
        log_det = _log_det(self._jacobian_factors(bend))
        return noise + moved @ self.directions, log_det

    def inverse_and_log_det(self, u: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """Inverse by damped Newton steps, then one more through which gradients flow."""
        if not self.leverage.size:
            return u, jnp.zeros(())
        fixed, target = lax.stop_gradient((self, u))

        def error(noise: Array) -> tuple[Array, Array]:
            moved, bend = fixed._bend(fixed.directions @ noise)
            return noise + moved @ fixed.directions - target, bend

        def improve(noise: Array, _: None) -> tuple[Array, None]:
            gap, bend = error(noise)
            step = cho_solve((fixed._jacobian_factors(bend[None])[0], True), gap)
            sizes = jnp.asarray([1.0, 0.5, 0.2])
            norms = vmap(lambda t: jnp.sum(jnp.square(error(noise - t * step)[0])))(sizes)
            return noise - sizes[jnp.argmin(norms)] * step, None

        noise = lax.stop_gradient(lax.scan(improve, target, None, length=NUM_INVERSE)[0])
        factor = fixed._jacobian_factors(error(noise)[1][None])[0]
        # d noise = J^-1 (du - dT): the implicit function theorem, as one Newton step from the solution.
        moved = noise + self._bend(self.directions @ noise)[0] @ self.directions
        noise = noise - cho_solve((factor, True), moved - u)
        bend = self._bend(self.directions @ noise)[1]
        return noise, -_log_det(self._jacobian_factors(bend[None]))[0]

    def _bend(
        self, t: Float[Array, "*sample term"]
    ) -> tuple[Float[Array, "*sample term"], Float[Array, "*sample term"]]:
        r"""$\alpha_i + \ell_i \phi_i(t_i)$ with $\phi_i$ of mean 0, and $\ell_i \phi_i'(t_i)$.

        Steps are algebraic, $(1 + x / \sqrt{1 + x^2}) / 2$: exponentials are slow on CPUs.
        """
        changes = jnp.diff(self.slopes, axis=1)
        bend, value = self.slopes[:, 0] * jnp.ones_like(t), self.slopes[:, 0] * t
        for knot, mean, change in zip(KNOTS, MEAN_RAMPS, changes.T, strict=True):
            x = t - knot
            norm = jnp.sqrt(WIDTH**2 + jnp.square(x))
            bend += change * 0.5 * (1.0 + x / norm)
            value += change * (0.5 * (x + norm) - mean)
        return self.shift + self.leverage * value, self.leverage * bend

    def _jacobian_factors(self, bend: Float[Array, "sample term"]) -> Float[Array, "sample latent latent"]:
        """Cholesky factors of the Jacobians: one product over rows makes the lower triangles of all of them."""
        size = self.mask.size
        rows, columns = np.tril_indices(size)
        packed = bend @ (self.directions[:, rows] * self.directions[:, columns])
        # Both triangles: the derivative of the factorisation reads the whole matrix, though its value does not.
        whole = jnp.zeros((bend.shape[0], size, size)).at[:, rows, columns].set(packed)
        whole = whole.at[:, columns, rows].set(packed)
        return lax.linalg.cholesky(whole + jnp.eye(size), symmetrize_input=False)


def _log_det(factors: Float[Array, "sample latent latent"]) -> Float[Array, " sample"]:
    return 2.0 * jnp.sum(jnp.log(jnp.diagonal(factors, axis1=1, axis2=2)), axis=1)
