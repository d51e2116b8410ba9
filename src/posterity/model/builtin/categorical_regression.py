"""Bayesian multi-class (softmax) regression."""

import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int

from posterity.model.builtin.entry import BuiltinModel


def categorical_regression(
    x: Float[Array, "obs feature"],
    y: Int[Array, " obs"] | None = None,
    *,
    num_classes: int = 3,
    prior_sd: float = 1.0,
    temperature: float = 1.0,
) -> None:
    r"""$W_{jc}, b_c \sim N(0, \text{prior\_sd}^2)$, $y_i \sim$ Categorical(softmax$((W'x_i + b) / \tau)$).

    Paper, App. C, LC, with $\tau = 0.1$ (in its data; see `temperature`).

    Args:
        x: Covariates.
        y: Class codes from 0 to `num_classes` - 1.
        num_classes: Number of classes.
        prior_sd: Prior standard deviation of weights and intercepts.
        temperature: $\tau$; the same in simulated data and in the likelihood. The paper's code has it in the data only.
    """
    with numpyro.plate("classes", num_classes, dim=-1):
        b = numpyro.sample("b", dist.Normal(0.0, prior_sd))
        with numpyro.plate("features", x.shape[-1], dim=-2):
            w = numpyro.sample("w", dist.Normal(0.0, prior_sd))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.CategoricalLogits((x @ w + b) / temperature), obs=y)


ENTRY = BuiltinModel(
    categorical_regression,
    "softmax regression, several classes",
    columns=(1, 4),
    target=("y", "int32"),
    linear=True,
)
