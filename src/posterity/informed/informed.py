"""The informed posterior as a network: dataset in, posterior out, with nothing to train."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool

from posterity.dataset import Dataset
from posterity.informed.anchor import find_anchor
from posterity.informed.network import RowNetwork
from posterity.informed.posterior import AnchoredPosterior
from posterity.informed.scale import scaled_posterior
from posterity.informed.structure import Structure, conditional_terms
from posterity.informed.terms import Terms
from posterity.posteriors import AbstractPosterior
from posterity.problem import Problem

__all__ = ["InformedNetwork"]


class InformedNetwork(eqx.Module):
    r"""$D \mapsto q(z \mid D)$ by the model's own log joint.

    Attributes:
        row_network: The pretrained part.
        problem: The model.
        structure: What was read off it.
    """

    row_network: RowNetwork
    problem: Problem = eqx.field(static=True)
    structure: Structure = eqx.field(static=True)

    def __call__(self, dataset: Dataset, latent_mask: Bool[Array, " latent"]) -> AbstractPosterior:
        """Posterior of one dataset.

        Args:
            dataset: Padded dataset.
            latent_mask: True for the coordinates of `z` that it has.
        """
        problem, structure = self.problem, self.structure
        origin = jnp.zeros(problem.space.size)
        if not structure.scale_sites:
            terms = conditional_terms(problem, structure, origin, dataset)
            anchor = find_anchor(terms)
            return AnchoredPosterior(anchor, self.row_network(terms, anchor))
        where = problem.space.coordinates(structure.scale_sites[0]).start

        def terms_at(tau: Array) -> Terms:
            return conditional_terms(problem, structure, origin.at[where].set(tau), dataset)

        def quadratic(tau: Array, rest: Array, terms: Terms) -> Array:
            whole = problem.log_joint(rest.at[where].set(tau), dataset)
            return whole - jnp.sum(terms.values(terms.predictor(rest)))

        return scaled_posterior(
            terms_at,
            self.row_network,
            quadratic,
            jnp.asarray(where),
            latent_mask,
            is_gaussian=structure.is_gaussian,
        )
