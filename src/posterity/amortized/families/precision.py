r"""Full-covariance Gaussian by its precision: the matrix inverse belongs to the family, not to the network.

The posterior of a linear model is $N(A^{-1} m, (n / \sigma^2)^{-1} A^{-1})$ with $A = X'X / n + (\sigma^2 / n) I$ and
$m = X'y / n$: averages over rows, which an encoder gives without learning anything, and one linear solve, which a
network learns badly and `FullFamily` leaves to it. Generalized linear models come close to the same form.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractFamily, AbstractTransport
from posterity.amortized.families.heads import check_sizes, positive_scale, zero_linear
from posterity.amortized.limits import soft_limit

__all__ = ["PrecisionFamily", "PrecisionGaussian", "positive_cholesky"]

UNBENT_PIVOT, SMALLEST_PIVOT = 2e-3, 1e-3
FARTHEST_LOC = 10.0  # in units of the prior: a nearly singular matrix early in training must not throw draws to 1e4


def positive_cholesky(matrix: Float[Array, "latent latent"]) -> Float[Array, "latent latent"]:
    r"""Lower-triangular $L$ with positive diagonal, $L L' = $ `matrix` wherever that is safely positive definite.

    Pivots below 0.002 are bent smoothly into positive ones, and a pivot is enlarged where its column would
    otherwise outgrow the matrix (Gill and Murray 1974; never the case for a positive definite one). So every symmetric
    matrix, as a network may put out, has a factor with finite gradients.
    """
    size = matrix.shape[0]
    index = jnp.arange(size)
    largest = lax.stop_gradient(4.0 * jnp.maximum(1.0, jnp.max(jnp.abs(jnp.diagonal(matrix)))))

    def eliminate(remaining: Array, j: Array) -> tuple[Array, Array]:
        below = jnp.where(index > j, remaining[:, j], 0.0)
        pivot = _positive(remaining[j, j])
        pivot = jnp.maximum(pivot, jnp.max(jnp.square(below)) / largest)
        column = jnp.where(index == j, 1.0, below / pivot)
        return remaining - pivot * jnp.outer(column, column), jnp.sqrt(pivot) * column

    _, columns = lax.scan(eliminate, matrix, index)  # (column, row)
    return columns.T


def _positive(pivot: Float[Array, ""]) -> Float[Array, ""]:
    """The pivot itself above 0.002; below, a hyperbola that meets it with equal slope and stays above 0.001."""
    room = UNBENT_PIVOT - SMALLEST_PIVOT
    gap = room + jnp.maximum(UNBENT_PIVOT - pivot, 0.0)
    return jnp.where(pivot > UNBENT_PIVOT, pivot, SMALLEST_PIVOT + room**2 / gap)


class PrecisionGaussian(AbstractTransport):
    r"""$N(A^{-1} m, R^{-1} A^{-1} R^{-1})$ with $A = L L'$ and a diagonal $R$, over the active latents."""

    loc: Float[Array, " latent"]
    factor: Float[Array, "latent latent"]
    rate: Float[Array, " latent"]
    mask: Bool[Array, " latent"]

    def __init__(
        self,
        moments: Float[Array, " latent"],
        matrix: Float[Array, "latent latent"],
        rate: Float[Array, " latent"],
        mask: Bool[Array, " latent"],
    ):
        """Gaussian over the active latents.

        Means farther than 10 from zero are pulled in logarithmically.

        Args:
            moments: $m$.
            matrix: Symmetric $A$; see `positive_cholesky` for what becomes of one that is not positive definite.
            rate: Diagonal of $R$, positive.
            mask: True for active latents; entries of the others are ignored.
        """
        active = mask[:, None] & mask[None, :]
        self.factor = positive_cholesky(jnp.where(active, matrix, jnp.eye(mask.shape[0])))
        half = solve_triangular(self.factor, jnp.where(mask, moments, 0.0), lower=True)
        self.loc = soft_limit(solve_triangular(self.factor, half, lower=True, trans=1), FARTHEST_LOC)
        self.rate = jnp.where(mask, rate, 1.0)
        self.mask = mask

    def transform_and_log_det(self, noise: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        r"""`loc` $+ R^{-1} L^{-\top}$ `noise`."""
        return self.loc + solve_triangular(self.factor, noise, lower=True, trans=1) / self.rate, -self._log_det()

    def inverse_and_log_det(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        r"""$L^\top R$ `(z - loc)`."""
        return self.factor.T @ (self.rate * (z - self.loc)), self._log_det()

    def _log_det(self) -> Float[Array, ""]:
        return jnp.sum(jnp.log(jnp.diagonal(self.factor)) + jnp.log(self.rate))


class PrecisionFamily(AbstractFamily):
    """Linear maps of the embedding to `m`, to `A` (starting at the identity) and to the rates (starting at 1)."""

    head: eqx.nn.Linear
    latent_size: int = eqx.field(static=True)

    def __init__(self, latent_size: int, context_size: int, *, key: PRNGKeyArray):
        """Family over `latent_size` latents that reads embeddings of `context_size` numbers."""
        del key  # nothing is drawn
        check_sizes(latent_size=latent_size, context_size=context_size)
        num_outputs = 2 * latent_size + latent_size * (latent_size + 1) // 2
        self.head = zero_linear(context_size, num_outputs)
        self.latent_size = latent_size

    def __call__(self, context: Float[Array, " context"], mask: Bool[Array, " latent"]) -> PrecisionGaussian:
        """Gaussian of one dataset."""
        moments, raw_scale, entries = jnp.split(self.head(context), [self.latent_size, 2 * self.latent_size])
        rows, columns = np.tril_indices(self.latent_size)
        lower = jnp.zeros((self.latent_size, self.latent_size)).at[rows, columns].set(entries)
        symmetric = lower + jnp.tril(lower, -1).T
        return PrecisionGaussian(moments, jnp.eye(self.latent_size) + symmetric, 1.0 / positive_scale(raw_scale), mask)
