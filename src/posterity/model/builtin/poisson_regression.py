"""Bayesian Poisson regression for counts."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from posterity.model.builtin.entry import BuiltinModel

MAX_LOG_RATE = 24.0  # exp(24) is 26 thousand million; no prior draw is near it


def poisson_regression(
    x: Float[Array, "obs feature"], y: Int[Array, " obs"] | None = None, *, prior_sd: float = 1.0
) -> None:
    r"""$w_j, b \sim N(0, \text{prior\_sd}^2)$, $y_i \sim$ Poisson$(\exp(w'x_i + b))$.

    The log rate is capped at 24.

    Args:
        x: Covariates.
        y: Counts.
        prior_sd: Prior standard deviation of weights and intercept.
    """
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
    log_rate = jnp.minimum(x @ w + b, MAX_LOG_RATE)
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(log_rate)), obs=y)


ENTRY = BuiltinModel(
    poisson_regression, "Poisson regression for counts", columns=(1, 5), target=("y", "int32"), linear=True
)
