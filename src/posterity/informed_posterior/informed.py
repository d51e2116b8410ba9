"""The informed posterior as a network: dataset in, posterior out, with nothing to train."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jaxtyping import Array, Float

from posterity.informed_posterior.anchor.anchor import Anchor, find_anchors, laplace_anchors
from posterity.informed_posterior.anchor.local import LocalGaussian, find_gaussians, local_lines
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.bend.store import trained_for
from posterity.informed_posterior.nest.modes import ModesPosterior, mode_weights
from posterity.informed_posterior.nest.scale import (
    NUM_KNOTS,
    ScaledPosterior,
    block_scales,
    find_grids,
    scaled_posterior,
)
from posterity.informed_posterior.noise import AbstractNoisePosterior
from posterity.informed_posterior.read.lines import Lines
from posterity.informed_posterior.read.structure import Structure, Unstructured, conditional_terms
from posterity.informed_posterior.read.terms import Terms, padded, padded_size
from posterity.model.dataset import PLACES, SMALLEST_BUCKET, Dataset, bucket_for
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit, jit

__all__ = ["InformedNetwork"]

Tree = TypeVar("Tree")

# Entries of all designs that are computed side by side: with more, steps take longer than the calls of their programs.
MOST_SIDE_BY_SIDE = 2**15
MOST_GAUSSIAN = 2**17  # where nothing is iterated, none waits for the slowest


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
        sizes_here = {"rows": num_rows, "latents": self.model.space.num_active(sizes)}
        return tuple(
            f"{sizes_here[what]} {what} are more than the {most} that the informed posterior was trained for"
            for what, most in trained_for().items()
            if sizes_here[what] > most
        )

    def places(self, num_rows: int) -> int:
        """Number of datasets with so many padded rows that are best computed side by side.

        Small ones cost little more than the calls of the programs; large ones would only wait for the slowest.
        """
        knots = NUM_KNOTS if self.structure.scale_sites else 1
        each = knots * num_rows * padded_size(self.model.space.size)
        at_once = 1 if isinstance(self.structure, Unstructured) else PLACES
        most = MOST_GAUSSIAN if self.structure.is_gaussian else MOST_SIDE_BY_SIDE
        while at_once > 1 and at_once * each > most:
            at_once //= 2
        return at_once

    def __call__(self, dataset: Dataset) -> AbstractNoisePosterior:
        """Posterior of one padded dataset."""
        q = self.posteriors(jax.tree.map(lambda leaf: leaf[None], dataset))
        return jax.tree.map(lambda leaf: leaf[0], q).of_size(self.model.space.size)

    def posteriors(self, datasets: Dataset) -> AbstractNoisePosterior:
        """Posteriors of a batch of datasets at once, along a leading axis; latents may be padded, see `padded`."""
        model, structure = self.model, self.structure
        if isinstance(structure, Unstructured):
            return self._around_modes(structure, datasets)
        if structure.scale_sites:
            return self._scaled(structure, datasets)
        terms = _terms(model, structure, datasets, jnp.asarray(np.zeros((len(datasets.row_mask), 1), np.float32)))
        return _anchored(self.row_network, terms.affine, find_anchors(terms)[0])

    def _around_modes(self, structure: Unstructured, datasets: Dataset) -> ModesPosterior:
        """For models without one predictor per row; one dataset at a time."""
        assert len(datasets.row_mask) == 1  # as `places` has it
        dataset = jax.tree.map(lambda leaf: leaf[0], datasets)
        gaussians = find_gaussians(self.model, dataset)
        best = jax.tree.map(lambda leaf: leaf[0], gaussians)
        return _around(self.row_network, *local_lines(self.model, dataset, best, structure.num_directions), gaussians)

    def _scaled(self, structure: Structure, datasets: Dataset) -> ScaledPosterior:
        """For models with one scale latent: anchors at many scales, nested in a density of the scale."""
        model = self.model

        def look(search: Search, scales: Array, starts: Array) -> tuple[Anchor, Array]:
            terms = _terms(model, structure, datasets, scales)
            return _with_remainder(model, structure, datasets, scales, terms, *search(terms, _flat(starts)))

        origin = jnp.asarray(np.zeros((len(datasets.row_mask), padded_size(model.space.size)), np.float32))
        knots, anchors, values = find_grids(partial(look, laplace_anchors), partial(look, find_anchors), origin)
        if structure.is_gaussian:
            terms, maps = _terms(model, structure, datasets, knots), None
        else:
            scales, starts = block_scales(knots, values, anchors)
            terms = _terms(model, structure, datasets, scales)
            maps = _bend(self.row_network, terms.affine, find_anchors(terms, _flat(starts))[0])
        where = model.space.coordinates(structure.scale_sites[0]).start
        return scaled_posterior(knots, values, anchors, maps, terms.mask, jnp.asarray(where))


Search = Callable[..., tuple[Anchor, Array]]


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _terms(model: Model, structure: Structure, datasets: Dataset, scales: Float[Array, "dataset knot"]) -> Terms:
    """Each dataset's terms at each of its scales, all along one axis; one per dataset where there is no scale latent.

    Padded, so that programs of one size serve many models.
    """

    def one(dataset: Dataset, scale: Array) -> Terms:
        return padded(conditional_terms(model, structure, _at_scale(model, structure, scale), dataset))

    return jax.tree.map(_flat, vmap(vmap(one, in_axes=(None, 0)))(datasets, scales))


def _at_scale(model: Model, structure: Structure, scale: Array) -> Float[Array, " latent"]:
    origin = jnp.zeros(model.space.size)
    if not structure.scale_sites:
        return origin
    return origin.at[model.space.coordinates(structure.scale_sites[0]).start].set(scale)


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _with_remainder(
    model: Model,
    structure: Structure,
    datasets: Dataset,
    scales: Float[Array, "dataset knot"],
    terms: Terms,
    anchors: Anchor,
    averaged: Array,
) -> tuple[Anchor, Float[Array, "dataset knot"]]:
    """Anchors by dataset and scale, and the bounds on the evidence there.

    Their quadratic part is taken as what the terms leave of the model's own log joint: `terms.quadratic` loses digits
    where a small scale makes its parts large and opposite.
    """
    by_dataset = partial(_unflat, shape=scales.shape)

    def one(dataset: Dataset, scale: Array, terms: Terms, loc: Array) -> Array:
        origin = _at_scale(model, structure, scale)
        whole = model.log_joint(origin + loc[: origin.size], dataset)
        return whole - jnp.sum(terms.values(terms.predictor(loc)))

    anchors = by_dataset(anchors)
    remainder = vmap(vmap(one, in_axes=(None, 0, 0, 0)))(datasets, scales, by_dataset(terms), anchors.loc)
    return anchors, remainder + by_dataset(averaged)


@partial(filter_jit, effort="moderate")
def _bend(network: RowNetwork, affine: Terms, anchors: Anchor) -> RowMap:
    """Maps of many datasets, along a leading axis."""
    return vmap(network)(affine, anchors)


@partial(filter_jit, effort="moderate")
def _anchored(network: RowNetwork, affine: Terms, anchors: Anchor) -> AnchoredPosterior:
    """Posteriors of many datasets without a scale latent, along a leading axis."""
    return vmap(AnchoredPosterior.around)(anchors, vmap(network)(affine, anchors))


@partial(filter_jit, effort="moderate")
def _around(network: RowNetwork, lines: Lines, anchor: Anchor, gaussians: LocalGaussian) -> ModesPosterior:
    """Posterior of one dataset from its modes, as a batch of one."""
    best = AnchoredPosterior.around(anchor, network(lines, anchor))
    log_weights = mode_weights(gaussians, lines.mask)
    q = ModesPosterior(best=best, gaussians=gaussians, log_weights=log_weights, mask=lines.mask)
    return jax.tree.map(lambda leaf: leaf[None], q)


def _flat(leaf: Array) -> Array:
    return jnp.reshape(leaf, (leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]))


def _unflat(tree: Tree, shape: tuple[int, ...]) -> Tree:
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (*shape, *leaf.shape[1:])), tree)
