r"""The log joint as a quadratic form plus a sum of functions of one number each.

Given a model's scale latents, its log joint in the remaining unconstrained latents `z` is read as

$$\log p(z, D) = \lambda' z - \tfrac12 z' \Lambda z + \sum_i l_i(\eta_i) + c, \qquad \eta_i = o_i + J_i z,$$

with one term per observed row (its log likelihood as a function of its predictor) and one per latent whose prior is
not Gaussian; Gaussian priors are the quadratic form.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from posterity.informed_posterior.read.lines import Lines

__all__ = ["Terms"]


class Terms(Lines):
    r"""One dataset's log joint, given its scale latents.

    Attributes:
        offset: $o$, the predictors at `z` = 0.
        log_density: $\eta \mapsto (l_i(\eta_i))_i$ in nats, elementwise; a pytree that may hold arrays.
        precision: $\Lambda$; the identity at masked latents.
        linear: $\lambda$; zero at masked latents.
        constant: What is left at `z` = 0, so that `log_joint` is the model's own.
    """

    offset: Float[Array, " term"]
    log_density: Callable[[Float[Array, " term"]], Float[Array, " term"]]
    precision: Float[Array, "latent latent"]
    linear: Float[Array, " latent"]
    constant: Float[Array, ""]

    def predictor(self, z: Float[Array, " latent"]) -> Float[Array, " term"]:
        r"""$\eta = o + J z$."""
        return self.offset + self.design @ z

    def log_joint(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        r"""$\log p(z, D)$ in nats."""
        return self.quadratic(z) + jnp.sum(self.values(self.predictor(z)))

    def quadratic(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        r"""$\lambda' z - z' \Lambda z / 2$ and the constant, in nats."""
        return self.constant + self.linear @ z - 0.5 * z @ self.precision @ z

    def values(self, predictor: Float[Array, " term"]) -> Float[Array, " term"]:
        r"""$l_i(\eta_i)$ in nats, 0 where inactive."""
        return jnp.where(self.active, self.log_density(predictor), 0.0)

    def slopes(self, predictor: Float[Array, " term"]) -> Float[Array, " term"]:
        r"""$l_i'(\eta_i)$, 0 where inactive."""
        return jax.grad(lambda eta: jnp.sum(self.values(eta)))(predictor)

    def slopes_and_curvatures(self, predictor: Float[Array, " term"]) -> tuple[Array, Array]:
        r"""$l_i'(\eta_i)$ and $-l_i''(\eta_i)$, 0 where inactive."""
        slopes, change = jax.jvp(self.slopes, (predictor,), (jnp.ones_like(predictor),))
        return slopes, -change
