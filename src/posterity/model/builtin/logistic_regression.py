"""Bayesian logistic regression for a binary target."""

import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from posterity.model.builtin.entry import BuiltinModel


def logistic_regression(
    x: Float[Array, "obs feature"],
    y: Int[Array, " obs"] | None = None,
    *,
    prior_sd: float = 1.0,
    temperature: float = 1.0,
) -> None:
    r"""$w_j, b \sim N(0, \text{prior\_sd}^2)$, $y_i \sim$ Bernoulli(logistic$((w'x_i + b) / \tau)$).

    Args:
        x: Covariates.
        y: Target, 0 or 1.
        prior_sd: Prior standard deviation of weights and intercept.
        temperature: $\tau$; the same in simulated data and in the likelihood.
    """
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=(x @ w + b) / temperature), obs=y)


ENTRY = BuiltinModel(logistic_regression, "logistic regression, binary target", target=("y", "int32"), linear=True)
