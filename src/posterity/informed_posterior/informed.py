"""The informed posterior as a network: dataset in, posterior out, with nothing to train."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from posterity.amortized.families import AbstractPosterior
from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.anchor.local import find_gaussians, local_lines
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.store import trained_for
from posterity.informed_posterior.nest.modes import ModesPosterior, mode_weights
from posterity.informed_posterior.nest.scale import scaled_posterior
from posterity.informed_posterior.read.structure import Structure, Unstructured, conditional_terms
from posterity.informed_posterior.read.terms import Terms
from posterity.model.dataset import SMALLEST_BUCKET, Dataset, bucket_for
from posterity.model.model import Model

__all__ = ["InformedNetwork"]


class InformedNetwork(eqx.Module):
    r"""$D \mapsto q(z \mid D)$ by the model's own log joint.

    Attributes:
        row_network: The pretrained part.
        model: The model.
        structure: What was read off it.
    """

    row_network: RowNetwork
    model: Model = eqx.field(static=True)
    structure: Structure | Unstructured = eqx.field(static=True)

    def padded_rows(self, num_rows: int) -> int:
        """Number of rows to pad a dataset to: a power of two, so that few programs serve all datasets."""
        return bucket_for(num_rows, [SMALLEST_BUCKET])

    def outside(self, num_rows: int, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """One sentence for each way that a dataset lies outside what the row network was trained for.

        Where the posterior of the rest is Gaussian, it has nothing to do, and nothing is outside.
        """
        if self.structure.is_gaussian:
            return ()
        masks = self.model.plate_masks(sizes)
        num_latents = int(np.sum(np.asarray(self.model.space.mask(masks))))
        sizes_here = {"rows": num_rows, "latents": num_latents}
        return tuple(
            f"{sizes_here[what]} {what} are more than the {most} that the informed posterior was trained for"
            for what, most in trained_for().items()
            if sizes_here[what] > most
        )

    def __call__(self, dataset: Dataset, latent_mask: Bool[Array, " latent"]) -> AbstractPosterior:
        """Posterior of one dataset.

        Args:
            dataset: Padded dataset.
            latent_mask: True for the coordinates of `z` that it has.
        """
        model, structure = self.model, self.structure
        if isinstance(structure, Unstructured):
            return self._around_modes(structure, dataset, latent_mask)
        origin = jnp.zeros(model.space.size)
        if not structure.scale_sites:
            terms = conditional_terms(model, structure, origin, dataset)
            anchor = find_anchor(terms)
            return AnchoredPosterior(anchor, self.row_network(terms, anchor))
        where = model.space.coordinates(structure.scale_sites[0]).start

        def terms_at(tau: Array) -> Terms:
            return conditional_terms(model, structure, origin.at[where].set(tau), dataset)

        def quadratic(tau: Array, rest: Array, terms: Terms) -> Array:
            whole = model.log_joint(rest.at[where].set(tau), dataset)
            return whole - jnp.sum(terms.values(terms.predictor(rest)))

        return scaled_posterior(
            terms_at,
            self.row_network,
            quadratic,
            jnp.asarray(where),
            latent_mask,
            is_gaussian=structure.is_gaussian,
        )

    def _around_modes(
        self, structure: Unstructured, dataset: Dataset, mask: Bool[Array, " latent"]
    ) -> AbstractPosterior:
        """For models without one predictor per row."""
        gaussians = find_gaussians(self.model, dataset, mask)
        first = jax.tree.map(lambda leaf: leaf[0], gaussians)
        lines, anchor = local_lines(self.model, dataset, mask, first, structure.num_directions)
        best = AnchoredPosterior(anchor, self.row_network(lines, anchor))
        return ModesPosterior(best=best, gaussians=gaussians, log_weights=mode_weights(gaussians, mask), mask=mask)
