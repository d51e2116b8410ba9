"""A model's log joint given its scale latents, as functions of the rest as one vector."""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from posterity.informed_posterior.algebra.rows import Ties, tied
from posterity.informed_posterior.read.order import Order, order_of
from posterity.informed_posterior.read.predictors import Parts, SiteTerms, read_sites
from posterity.model.dataset import Dataset
from posterity.model.model import Model

__all__ = ["Conditional"]


@dataclasses.dataclass(frozen=True)
class Conditional:
    """What a model says of the rest, given its scales.

    Attributes:
        quadratic: The sum of what is quadratic in the rest but for sites in `quadratics`.
        roots: Sites whose log probabilities are functions of one number each.
        quadratics: Sites where these functions are quadratic.
        predictors: Those numbers: of all roots together, then of each of `quadratics`.
        parts_of: The vector -> its latents by name.
        mask: True for active latents that are no scales.
        order: Of the vector; None where it is that of `z`.
    """

    quadratic: Callable[[Float[Array, " latent"]], Float[Array, ""]]
    roots: Sequence[SiteTerms]
    quadratics: Sequence[SiteTerms]
    predictors: Sequence[Callable[[Float[Array, " latent"]], Float[Array, " term"]]]
    parts_of: Callable[[Float[Array, " latent"]], Parts]
    mask: Bool[Array, " latent"]
    order: Order | None

    @classmethod
    def read(
        cls,
        model: Model,
        scale_sites: tuple[str, ...],
        axis: str,
        z: Float[Array, " latent"],
        dataset: Dataset,
        ties: Ties | None = None,
    ) -> "Conditional":
        """Reads a model.

        Args:
            model: The model.
            scale_sites: Latent sites that are given.
            axis: Along which the rest is an arrow; empty where it is dense.
            z: Unconstrained latents, of which only the scale latents are used.
            dataset: Padded dataset.
            ties: Of an arrow's groups to its border, see `Arrangement`.
        """
        space = model.space
        given = {name: space.part(z, name) for name in scale_sites}
        rest_sites = [site.name for site in space.sites if site.name not in scale_sites]
        zeros = {name: jnp.zeros_like(space.part(z, name)) for name in rest_sites}
        reading = read_sites(model, zeros, given, dataset)
        is_scale = np.isin(np.arange(space.size), space.places(scale_sites))
        order = order_of(model, scale_sites, axis) if axis else None
        mask = space.mask(dataset.plate_masks) & ~is_scale
        mask = mask if order is None else order.arrange(mask)

        def parts_of(v: Float[Array, " latent"]) -> dict[str, Array]:
            v = jnp.where(mask, v, 0.0)
            v = v if order is None else order.restore(tied(v, ties))
            return {name: space.part(v, name) for name in rest_sites}

        roots = [group for group in reading.terms if not group.is_quadratic]
        quadratics = [group for group in reading.terms if group.is_quadratic]
        return cls(
            quadratic=lambda v: reading.quadratic(parts_of(v)),
            roots=roots,
            quadratics=quadratics,
            predictors=[
                lambda v: jnp.concatenate([jnp.zeros(0), *[group.predictor(parts_of(v)) for group in roots]]),
                *(lambda v, group=group: group.predictor(parts_of(v)) for group in quadratics),
            ],
            parts_of=parts_of,
            mask=mask,
            order=order,
        )

    @property
    def origin(self) -> Float[Array, " latent"]:
        """0."""
        return jnp.zeros(self.mask.shape)
