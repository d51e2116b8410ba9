"""The mean of a Gaussian with known variance: the simplest conjugate model."""

import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from posterity.model.builtin.entry import BuiltinModel


def gaussian_mean(x: Float[Array, "obs dim"], *, prior_sd: float = 1.0, noise_sd: float = 1.0) -> None:
    r"""$\mu_j \sim N(0, \text{prior\_sd}^2)$, $x_{ij} \sim N(\mu_j, \text{noise\_sd}^2)$ (paper, App. C, GM).

    Args:
        x: Data, one observation a row.
        prior_sd: Prior standard deviation of each mean.
        noise_sd: Known standard deviation of the data.
    """
    num_rows, num_dims = x.shape
    with numpyro.plate("dims", num_dims, dim=-1):
        mu = numpyro.sample("mu", dist.Normal(0.0, prior_sd))
        with numpyro.plate("observations", num_rows, dim=-2):
            numpyro.sample("x", dist.Normal(mu, noise_sd), obs=x)


ENTRY = BuiltinModel(
    gaussian_mean,
    "mean of a Gaussian with known variance",
    plate="dims",
    columns=(2, 2),
    target=None,
    standardized=False,
)
