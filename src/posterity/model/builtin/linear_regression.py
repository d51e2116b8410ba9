"""Bayesian linear regression, noise unknown or known."""

import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from posterity.model.builtin.entry import BuiltinModel

Rows = Float[Array, "obs feature"]
Target = Float[Array, " obs"]


def linear_regression(x: Rows, y: Target | None = None, *, prior_sd: float = 1.0, noise_prior_sd: float = 1.0) -> None:
    r"""$w_j, b \sim N(0, \text{prior\_sd}^2)$, $\sigma \sim$ HalfNormal, $y_i \sim N(w'x_i + b, \sigma^2)$.

    Args:
        x: Covariates.
        y: Target.
        prior_sd: Prior standard deviation of weights and intercept.
        noise_prior_sd: Scale of the half-normal prior of the noise standard deviation.
    """
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
    sigma = numpyro.sample("sigma", dist.HalfNormal(noise_prior_sd))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, sigma), obs=y)


def linear_regression_known_noise(
    x: Rows, y: Target | None = None, *, prior_sd: float = 1.0, noise_sd: float = 0.5
) -> None:
    r"""$w_j, b \sim N(0, \text{prior\_sd}^2)$, $y_i \sim N(w'x_i + b, \text{noise\_sd}^2)$ (paper, App. C, LR).

    Conjugate: the posterior is Gaussian with precision $I / s_0^2 + X'X / s^2$.

    Args:
        x: Covariates.
        y: Target.
        prior_sd: Prior standard deviation $s_0$ of weights and intercept.
        noise_sd: Known noise standard deviation $s$; the paper's variance is 0.25.
    """
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, noise_sd), obs=y)


ENTRY = BuiltinModel(linear_regression, "linear regression, noise unknown", linear=True)
ENTRY_KNOWN_NOISE = BuiltinModel(linear_regression_known_noise, "linear regression, noise known", standardized=False)
