r"""The log joint as a quadratic form plus a sum of functions of one number each.

Given a model's scale latents, its log joint in the remaining unconstrained latents `z` is read as

$$\log p(z, D) = \lambda' z - \tfrac12 z' \Lambda z + \sum_i l_i(\eta_i) + c, \qquad \eta_i = o_i + J_i z,$$

with one term per observed row (its log likelihood as a function of its predictor) and one per latent whose prior is
not Gaussian; Gaussian priors are the quadratic form.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import vmap
from jax.tree_util import Partial
from jaxtyping import Array, Float

from posterity.informed_posterior.algebra.arrow import ArrowDesign, Design, Precision
from posterity.informed_posterior.algebra.dense import gram
from posterity.informed_posterior.read.lines import Lines

__all__ = ["Terms", "each_problem", "gram_of_rows", "padded", "padded_size", "term_bucket"]

Found = TypeVar("Found")

MOST_PRODUCTS = 2**24  # of two entries of one row of a design that are kept


class Terms(Lines):
    r"""One dataset's log joint, given its scale latents.

    Attributes:
        offset: $o$, the predictors at `z` = 0.
        log_density: $\eta \mapsto (l_i(\eta_i))_i$ in nats, elementwise; a pytree that may hold arrays. None in
            `affine`.
        precision: $\Lambda$; the identity at masked latents.
        linear: $\lambda$; zero at masked latents.
        constant: What is left at `z` = 0, so that `log_joint` is the model's own.
        has_prior: Some terms belong to the prior; False spares what only they need.
        is_shared: The design does not depend on the scales: terms at many scales have it in common.
    """

    offset: Float[Array, " term"]
    log_density: Any  # Callable[[Float[Array, " term"]], Float[Array, " term"]] | None
    precision: Precision
    linear: Float[Array, " latent"]
    constant: Float[Array, ""]
    has_prior: bool = eqx.field(static=True, default=True)
    is_shared: bool = eqx.field(static=True, default=False)

    @property
    def affine(self) -> "Terms":
        """The arrays alone, of one type for all models: what programs that serve every model take."""
        return eqx.tree_at(lambda terms: terms.log_density, self, None, is_leaf=lambda leaf: leaf is None)

    @property
    def point_axes(self) -> "Terms":
        """For `vmap` along scales: the axis of each array, None for what is shared."""
        axes = jax.tree.map(lambda _: 0, self)
        return eqx.tree_at(lambda terms: terms.design, axes, self.design_axes)

    @property
    def design_axes(self) -> Any:
        """Of the design alone."""
        if self.is_shared:
            return None
        return self.design.along_points if isinstance(self.design, ArrowDesign) else 0

    def predictor(self, z: Float[Array, " latent"]) -> Float[Array, " term"]:
        r"""$\eta = o + J z$."""
        return self.offset + self.design @ z

    def log_joint(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        r"""$\log p(z, D)$ in nats."""
        return self.quadratic(z) + jnp.sum(self.values(self.predictor(z)))

    def quadratic(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        r"""$\lambda' z - z' \Lambda z / 2$ and the constant, in nats."""
        return self.constant + self.linear @ z - 0.5 * z @ (self.precision @ z)

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


def gram_of_rows(design: Design, weights: Float[Array, " term"], *, is_shared: bool) -> Precision:
    r"""$J' \mathrm{diag}(w) J$.

    Args:
        design: $J$.
        weights: $w$.
        is_shared: Many weights meet one design: all are then had by one product with the designs' own products.
    """
    if isinstance(design, ArrowDesign) or not is_shared or design.shape[0] * design.shape[1] ** 2 > MOST_PRODUCTS:
        return gram(design, weights)
    num_terms, size = design.shape
    products = jnp.reshape(design[:, :, None] * design[:, None, :], (num_terms, size * size))
    return jnp.reshape(weights @ products, (size, size))


def padded(terms: Terms) -> Terms:
    """The same log joint with terms that are inactive and latents that are masked, up to one of a few sizes.

    Programs that take arrays alone are then compiled once for all models of about one size.
    """
    num_terms, num_latents = terms.offset.size, terms.linear.size
    tall = (0, term_bucket(num_terms) - num_terms)
    changes = {
        "offset": jnp.pad(terms.offset, tall),
        "active": jnp.pad(terms.active, tall),
        "is_prior": jnp.pad(terms.is_prior, tall),
        "log_density": Partial(partial(_of_first, num_terms), terms.log_density),
    }
    if not isinstance(terms.design, ArrowDesign):  # whose rows are arranged for so many terms, and latents padded
        wide = (0, padded_size(num_latents) - num_latents)
        beyond = jnp.arange(num_latents + wide[1]) >= num_latents
        changes |= {
            "design": jnp.pad(terms.design, (tall, wide)),
            "precision": jnp.pad(terms.precision, (wide, wide)) + jnp.diag(beyond.astype(terms.precision.dtype)),
            "linear": jnp.pad(terms.linear, wide),
            "mask": jnp.pad(terms.mask, wide),
        }
    return dataclasses.replace(terms, **changes)


def padded_size(number: int) -> int:
    """Latents that so many are padded to, the next multiple of 2, 4 or 8.

    Coarser steps would cost more in arithmetic than they spare in compilation.
    """
    step = 2 if number <= 8 else 4 if number <= 16 else 8
    return -(-number // step) * step


def _of_first(num_terms: int, log_density: Callable[[Array], Array], predictor: Array) -> Array:
    return jnp.pad(log_density(predictor[:num_terms]), (0, predictor.size - num_terms))


def term_bucket(number: int) -> int:
    """A power of two, or one and a half times one, so that a third is padding at most; 0 stays 0."""
    size = 8
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size if number else 0


def each_problem(function: Callable[..., Found]) -> Callable[..., Found]:
    """A function of one dataset's terms at one point, and of arrays, along datasets and points."""

    def along(terms: Terms, *arrays: Any) -> Found:
        axes = (terms.point_axes, *[0] * len(arrays))
        return vmap(vmap(function, in_axes=axes))(terms, *arrays)

    return functools.update_wrapper(along, function)
