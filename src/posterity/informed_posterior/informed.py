"""The informed posterior as a network: dataset in, posterior out, with nothing to train."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import vmap
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Int

from posterity.informed_posterior.anchor.anchor import Anchor, find_anchors, laplace_anchors
from posterity.informed_posterior.anchor.local import LocalGaussian, find_gaussians, local_lines
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.bend.store import trained_for
from posterity.informed_posterior.nest.density import AxesDensity
from posterity.informed_posterior.nest.interpolation import design
from posterity.informed_posterior.nest.modes import ModesPosterior, mode_weights
from posterity.informed_posterior.nest.posterior import NestedPosterior
from posterity.informed_posterior.nest.search import NUM_KNOTS, find_density
from posterity.informed_posterior.noise import NUM_BLOCKS, AbstractNoisePosterior
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
        points = max(1, NUM_KNOTS * len(_places_of_scales(self.model, self.structure)))
        each = points * self.model.num_terms(num_rows) * padded_size(self.model.space.size)
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
            return self._nested(structure, datasets)
        terms = _terms(model, structure, datasets, jnp.asarray(np.zeros((len(datasets.row_mask), 1, 0), np.float32)))
        return _anchored(self.row_network, terms.affine, find_anchors(terms)[0])

    def _around_modes(self, structure: Unstructured, datasets: Dataset) -> ModesPosterior:
        """For models without one predictor per row; one dataset at a time."""
        assert len(datasets.row_mask) == 1  # as `places` has it
        dataset = jax.tree.map(lambda leaf: leaf[0], datasets)
        gaussians = find_gaussians(self.model, dataset)
        best = jax.tree.map(lambda leaf: leaf[0], gaussians)
        return _around(self.row_network, *local_lines(self.model, dataset, best, structure.num_directions), gaussians)

    def _nested(self, structure: Structure, datasets: Dataset) -> NestedPosterior:
        """For models with scale latents: anchors at many scales, nested in a density of the scales."""
        model = self.model
        where = _places_of_scales(model, structure)

        def look(search: Search, scales: Array, starts: Array) -> tuple[Anchor, Array]:
            terms = _terms(model, structure, datasets, scales)
            return _with_remainder(model, structure, datasets, scales, terms, *search(terms, _flat(starts)))

        origin = jnp.asarray(np.zeros((len(datasets.row_mask), padded_size(model.space.size)), np.float32))
        density, loc = find_density(partial(look, laplace_anchors), partial(look, find_anchors), origin, len(where))
        scales = _designed(density)
        terms = _terms(model, structure, datasets, scales)
        starts = jnp.broadcast_to(loc[:, None], (*scales.shape[:2], loc.shape[1]))
        anchors, _ = find_anchors(terms, _flat(starts))
        maps = None
        if not structure.is_gaussian:
            maps = _bend(self.row_network, *_of_blocks((terms.affine, anchors), scales.shape[:2]))
        return _joined(density, anchors, maps, terms.mask, jnp.asarray(where))


Search = Callable[..., tuple[Anchor, Array]]


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _terms(model: Model, structure: Structure, datasets: Dataset, scales: Float[Array, "dataset point scale"]) -> Terms:
    """Each dataset's terms at each of its scales, all along one axis; one per dataset where there is no scale latent.

    Padded, so that programs of one size serve many models.
    """

    def one(dataset: Dataset, scale: Array) -> Terms:
        return padded(conditional_terms(model, structure, _at_scale(model, structure, scale), dataset))

    return jax.tree.map(_flat, vmap(vmap(one, in_axes=(None, 0)))(datasets, scales))


def _at_scale(model: Model, structure: Structure, scales: Float[Array, " scale"]) -> Float[Array, " latent"]:
    return jnp.zeros(model.space.size).at[_places_of_scales(model, structure)].set(scales)


def _places_of_scales(model: Model, structure: Structure | Unstructured) -> Int[np.ndarray, " scale"]:
    """Coordinates of `z` that are scale latents."""
    parts = [np.arange(model.space.size)[model.space.coordinates(name)] for name in structure.scale_sites]
    return np.concatenate([np.zeros(0, int), *parts])


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _with_remainder(
    model: Model,
    structure: Structure,
    datasets: Dataset,
    scales: Float[Array, "dataset point scale"],
    terms: Terms,
    anchors: Anchor,
    averaged: Array,
) -> tuple[Anchor, Float[Array, "dataset point"]]:
    """Anchors by dataset and point, and the bounds on the evidence there.

    Their quadratic part is taken as what the terms leave of the model's own log joint: `terms.quadratic` loses digits
    where a small scale makes its parts large and opposite.
    """
    by_dataset = partial(_unflat, shape=(scales.shape[0], scales.shape[1]))

    def one(dataset: Dataset, scale: Array, terms: Terms, loc: Array) -> Array:
        origin = _at_scale(model, structure, scale)
        whole = model.log_joint(origin + loc[: origin.size], dataset)
        return whole - jnp.sum(terms.values(terms.predictor(loc)))

    anchors = by_dataset(anchors)
    remainder = vmap(vmap(one, in_axes=(None, 0, 0, 0)))(datasets, scales, by_dataset(terms), anchors.loc)
    return anchors, remainder + by_dataset(averaged)


@partial(jit, effort="moderate")
def _designed(density: AxesDensity) -> Float[Array, "dataset point scale"]:
    """The scales of each dataset at which the rest is anchored, to be interpolated between."""
    uniform = ndtr(design(density.centre.shape[1]))
    return vmap(lambda density: vmap(density.quantile)(uniform))(density)


def _of_blocks(tree: Tree, shape: tuple[int, ...]) -> Tree:
    """Those of the first points of the design, one for each block of draws."""
    return jax.tree.map(lambda leaf: _flat(jnp.reshape(leaf, (*shape, *leaf.shape[1:]))[:, :NUM_BLOCKS]), tree)


@partial(jit, effort="moderate")
def _joined(
    density: AxesDensity,
    anchors: Anchor,
    maps: RowMap | None,
    rest: Bool[Array, "dataset_times_point latent"],
    where: Int[Array, " scale"],
) -> NestedPosterior:
    """Posteriors of datasets with scale latents.

    Args:
        density: Of each dataset's scales.
        anchors: Of the rest at each point of the design.
        maps: How the rest is bent in each block of draws. None where it is Gaussian.
        rest: True for the active latents but the scales; as many to a dataset as points.
        where: Coordinates of the scale latents.
    """
    num_datasets = len(density.centre)

    shape = num_datasets, len(design(where.size))
    rest, anchors = _unflat(rest, shape)[:, 0], _unflat(anchors, shape)
    if maps is None:
        maps = vmap(vmap(RowMap.straight))(jnp.repeat(rest[:, None], NUM_BLOCKS, axis=1))
    else:
        maps = _unflat(maps, (num_datasets, NUM_BLOCKS))
    return vmap(NestedPosterior.through, in_axes=(0, 0, 0, 0, None))(density, anchors, maps, rest, where)


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


def _unflat(tree: Tree, shape: tuple[int, int]) -> Tree:
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (*shape, *leaf.shape[1:])), tree)
