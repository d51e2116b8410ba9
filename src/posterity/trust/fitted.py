r"""The Gaussian that importance ratios describe, in coordinates $e$ in which q is standard normal.

Where q and the posterior are both Gaussian, $\log p(z, D) - \log q(z) = c + b'e + \tfrac12 e' A e$ exactly, and the
posterior is $N\big((I - A)^{-1} b,\ (I - A)^{-1}\big)$. Least squares find it from a few draws per coefficient, also
along directions in which q is far too narrow, where no weight can: it is a better place to draw from than q.
"""

import dataclasses
from math import lgamma

import numpy as np
from jaxtyping import Float

__all__ = ["FittedStudent", "fitted_student"]

PER_COEFFICIENT = 3  # draws, at least
FREEDOM = 6.0  # degrees of freedom: heavier tails than a posterior's as a rule
WIDEST, NARROWEST = 10.0, 0.05  # standard deviations along an axis, in those of q
FURTHEST = 10.0  # of the location, in those of q
INFLATED = 1.2  # widths against those of the fit


@dataclasses.dataclass(frozen=True)
class FittedStudent:
    """A multivariate Student-t distribution around the fit.

    Attributes:
        loc: Location.
        axes: Orthonormal, along the second axis.
        widths: Along each axis.
    """

    loc: Float[np.ndarray, " latent"]
    axes: Float[np.ndarray, "latent latent"]
    widths: Float[np.ndarray, " latent"]

    def sample(self, rng: np.random.Generator, num_draws: int) -> Float[np.ndarray, "draw latent"]:
        """Independent draws.

        Args:
            rng: Consumed here.
            num_draws: How many.
        """
        normal = rng.standard_normal((num_draws, self.loc.size)) * self.widths
        stretch = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, num_draws))
        return self.loc + stretch[:, None] * normal @ self.axes.T

    def log_over_normal(self, e: Float[np.ndarray, "draw latent"]) -> Float[np.ndarray, " draw"]:
        """Log density over that of the standard normal distribution, in nats."""
        size = self.loc.size
        squares = np.sum(np.square((e - self.loc) @ self.axes / self.widths), axis=1)
        constant = lgamma((FREEDOM + size) / 2) - lgamma(FREEDOM / 2) - size / 2 * np.log(FREEDOM / 2)
        tail = -(FREEDOM + size) / 2 * np.log1p(squares / FREEDOM)
        return constant - np.sum(np.log(self.widths)) + tail + 0.5 * np.sum(np.square(e), axis=1)


def fitted_student(
    e: Float[np.ndarray, "draw latent"], log_ratios: Float[np.ndarray, " draw"], log_weights: Float[np.ndarray, " draw"]
) -> FittedStudent | None:
    """The fit, or None where there are too few draws for its coefficients.

    Args:
        e: Draws.
        log_ratios: log p(z, D) - log q(z) there, with q itself and not its wider share.
        log_weights: What each counts, normalised: importance weights, flattened until enough draws count.
    """
    size = e.shape[1]
    rows, columns = np.triu_indices(size)
    num_coefficients = 1 + size + rows.size
    usable = np.isfinite(log_ratios)
    if usable.sum() < PER_COEFFICIENT * num_coefficients:
        return None
    e, y, weights = e[usable].astype(np.float64), log_ratios[usable], np.exp(0.5 * log_weights[usable])
    design = np.concatenate([np.ones((len(e), 1)), e, e[:, rows] * e[:, columns]], axis=1)
    found = np.linalg.lstsq(design * weights[:, None], y * weights, rcond=1e-10)[0]
    half = np.zeros((size, size))
    half[rows, columns] = found[1 + size :]
    precision, axes = np.linalg.eigh(np.eye(size) - half - half.T)
    precision = np.clip(precision, WIDEST**-2, NARROWEST**-2)
    loc = axes @ (axes.T @ found[1 : 1 + size] / precision)
    length = np.linalg.norm(loc)
    return FittedStudent(loc * min(1.0, FURTHEST / max(length, 1e-30)), axes, INFLATED * precision**-0.5)
