"""A mixture of Gaussians with equal weights, memberships summed out."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from posterity.model.builtin.entry import BuiltinModel


def gaussian_mixture(
    x: Float[Array, "obs dim"],
    *,
    num_components: int = 2,
    prior_sd: float = 1.0,
    component_sd: float = 1.0,
) -> None:
    r"""$\mu_k \sim N(0, \text{prior\_sd}^2 I)$, $x_i \sim \frac1K \sum_k N(\mu_k, \text{component\_sd}^2 I)$.

    Paper, App. C, GMM. Its text has component variance 1, its code 0.1 (`component_sd=0.316`). Components are
    exchangeable, so the posterior has `num_components!` equal modes.

    Args:
        x: Data, one observation a row.
        num_components: Number of components.
        prior_sd: Prior standard deviation of each mean.
        component_sd: Known standard deviation of each component.
    """
    num_rows, num_dims = x.shape
    with numpyro.plate("dims", num_dims, dim=-1), numpyro.plate("components", num_components, dim=-2):
        mu = numpyro.sample("mu", dist.Normal(0.0, prior_sd))
    components = dist.Normal(mu, component_sd).to_event(1)
    weights = dist.Categorical(probs=jnp.full(num_components, 1.0 / num_components))
    with numpyro.plate("observations", num_rows):
        numpyro.sample("x", dist.MixtureSameFamily(weights, components), obs=x)


ENTRY = BuiltinModel(
    gaussian_mixture,
    "means of a Gaussian mixture with equal weights",
    plate="dims",
    columns=(2, 2),
    target=None,
    informed=False,
    standardized=False,
)
