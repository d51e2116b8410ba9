"""The informed posterior as a network: dataset in, posterior out, with nothing to train."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float

from posterity.amortized.families.noise import NUM_BLOCKS
from posterity.informed_posterior.algebra.arrow import ArrowDesign
from posterity.informed_posterior.algebra.dense import cholesky, log_diagonal, solve
from posterity.informed_posterior.algebra.rows import Arrangement, tied
from posterity.informed_posterior.anchor.anchor import Anchor, find_anchors, laplace_anchors
from posterity.informed_posterior.anchor.local import LocalGaussian, find_gaussians, local_lines
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.bend.row_map import RowMap
from posterity.informed_posterior.bend.store import shipped_network, trained_for
from posterity.informed_posterior.nest.arranged import ArrangedRest
from posterity.informed_posterior.nest.density import AxesDensity
from posterity.informed_posterior.nest.exact import ExactRest
from posterity.informed_posterior.nest.interpolated import InterpolatedRest
from posterity.informed_posterior.nest.interpolation import design
from posterity.informed_posterior.nest.modes import ModesPosterior, mode_weights
from posterity.informed_posterior.nest.posterior import NestedPosterior
from posterity.informed_posterior.nest.rest import AbstractRest
from posterity.informed_posterior.nest.search import NUM_KNOTS, Look, find_density
from posterity.informed_posterior.read.arrows import find_arrow, may_be_arrow
from posterity.informed_posterior.read.group_sums import Sums, find_sums, summed
from posterity.informed_posterior.read.lines import Lines
from posterity.informed_posterior.read.order import Order, order_of
from posterity.informed_posterior.read.structure import Structure, Unstructured, conditional_terms
from posterity.informed_posterior.read.sums import sums_suffice
from posterity.informed_posterior.read.terms import Terms, each_problem, padded, padded_size
from posterity.model.dataset import SMALLEST_BUCKET, Dataset, bucket_for
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit, is_traced, jit
from posterity.runtime.precision import real_dtype

__all__ = ["InformedNetwork", "InformedPosterior"]

InformedPosterior = AnchoredPosterior | NestedPosterior | ModesPosterior
Tree = TypeVar("Tree")

# Entries of all designs that are computed side by side: with more, steps take longer than the calls of their programs.
MOST_SIDE_BY_SIDE = 2**15
MOST_GAUSSIAN = 2**17  # where nothing is iterated, none waits for the slowest
FAR = 14.0  # squares of scales from e^-14 to e^14 leave float32 room
NUM_WIDE_OF_SUMS = 5  # of very many rows: scales may be known to a thousandth
MOST_IN_MEMORY = 2**26  # entries of all designs, and of all precisions, that are held at once


class InformedNetwork(eqx.Module):
    r"""$D \mapsto q(z \mid D)$ by the model's own log joint.

    Attributes:
        row_network: The pretrained part.
        model: The model.
        structure: What was read off it.
        looks_far: Scales are looked for in all units from 1e-30 to 1e30; only with 64 bits.
    """

    row_network: RowNetwork
    model: Model = eqx.field(static=True)
    structure: Structure | Unstructured = eqx.field(static=True)
    looks_far: bool = eqx.field(static=True, default=False)

    def __reduce__(self) -> tuple[Callable[..., "InformedNetwork"], tuple[Any, ...]]:
        """The network that ships need not be in a pickle."""
        row_network = None if self.row_network is shipped_network() else self.row_network
        return _restored, (row_network, self.model, self.structure)

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

    @property
    def is_by_sums(self) -> bool:
        """Whether rows count only by their sums, so that few rows may stand for many."""
        return self.structure.is_gaussian and sums_suffice(self.model)

    @property
    def takes_one(self) -> bool:
        """Whether each dataset is best answered by itself: as an arrow, which has a shape of its own."""
        return isinstance(self.structure, Structure) and may_be_arrow(self.model, self.structure)

    def places(self, num_rows: int, total: int) -> int:
        """Number of datasets with so many padded rows that are best computed side by side.

        Small ones cost little more than the calls of the programs; large ones would only wait for the slowest.

        Args:
            num_rows: Padded rows of each.
            total: Places of the batch.
        """
        points = max(1, NUM_KNOTS * len(self.model.space.places(self.structure.scale_sites)))
        each = points * self.model.num_terms(num_rows) * padded_size(self.model.space.size)
        at_once = 1 if isinstance(self.structure, Unstructured) else total
        most = MOST_GAUSSIAN if self.structure.is_gaussian else MOST_SIDE_BY_SIDE
        while at_once > 1 and at_once * each > most:
            at_once //= 2
        return at_once

    def is_far(self, z: Float[np.ndarray, "draw latent"]) -> bool:
        """Whether scales lie near the edge of where they are looked for, which can be widened with 64 bits.

        Args:
            z: Unconstrained draws.
        """
        return bool(self.are_far(z[None])[0])

    def are_far(self, z: Float[np.ndarray, "dataset draw latent"]) -> Bool[np.ndarray, " dataset"]:
        """`is_far` of many datasets."""
        scales = z[:, :, self.model.space.places(self.structure.scale_sites)]
        return np.any(np.abs(scales) > FAR, axis=(1, 2)) & (not self.looks_far)

    def __call__(self, dataset: Dataset) -> InformedPosterior:
        """Posterior of one padded dataset."""
        q = self.posteriors(jax.tree.map(lambda leaf: leaf[None], dataset))
        return jax.tree.map(lambda leaf: leaf[0], q).of_size(self.model.space.size)

    def posteriors(self, datasets: Dataset, *, by_themselves: bool = True) -> InformedPosterior:
        """Posteriors of a batch of datasets at once, along a leading axis; latents may be padded, see `padded`.

        Args:
            datasets: Padded to one size.
            by_themselves: Nothing is to be stacked beside them: a single one may be an arrow.
        """
        model, structure = self.model, self.structure
        if isinstance(structure, Unstructured):
            return self._around_modes(structure, datasets)
        if structure.scale_sites:
            return self._nested(structure, datasets, by_themselves and len(datasets.row_mask) == 1)
        terms = _terms(model, structure, datasets, jnp.asarray(np.zeros((len(datasets.row_mask), 1, 0), real_dtype())))
        return _anchored(self.row_network, terms.affine, find_anchors(terms)[0])

    def _around_modes(self, structure: Unstructured, datasets: Dataset) -> ModesPosterior:
        """For models without one predictor per row; one dataset at a time."""
        assert len(datasets.row_mask) == 1  # as `places` has it
        dataset = jax.tree.map(lambda leaf: leaf[0], datasets)
        gaussians = find_gaussians(self.model, dataset)
        best = jax.tree.map(lambda leaf: leaf[0], gaussians)
        return _around(self.row_network, *local_lines(self.model, dataset, best, structure.num_directions), gaussians)

    def _nested(self, structure: Structure, datasets: Dataset, alone: bool) -> NestedPosterior:
        """For models with scale latents: anchors at many scales, nested in a density of the scales."""
        model = self.model
        where = model.space.places(structure.scale_sites)
        structure, arrangement = _as_arrow(model, structure, datasets) if alone else (structure, None)

        def look(search: Search, scales: Array, starts: Array) -> tuple[Anchor, Array]:
            terms = _terms(model, structure, datasets, scales, arrangement)
            found = search(terms, starts)
            return _with_remainder(model, structure, datasets, scales, arrangement, terms, *found)

        def look_in_turns(search: Search, scales: Array, starts: Array) -> tuple[Anchor, Array]:
            parts = [
                look(search, scales[:, part], starts[:, part])
                for part in self._turns(structure, datasets, scales.shape[1])
            ]
            return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *parts) if parts[1:] else parts[0]

        careless = find_anchors if structure.has_kinks else laplace_anchors
        rough, fine = (partial(look_in_turns, search) for search in (careless, find_anchors))
        origin = jnp.asarray(np.zeros((len(datasets.row_mask), _num_rest(model, structure)), real_dtype()))
        exact = structure.is_gaussian and len(where) > 1
        sums = _sums_of(model, structure, datasets, arrangement) if exact and arrangement is not None else None
        if sums is not None:

            def summed_up(scales: Array, starts: Array) -> tuple[Array, Array]:
                return starts, _evidences(model, structure, sums, scales)

            density, _ = find_density(
                summed_up, summed_up, origin[:, :0], len(where), is_far=self.looks_far, num_wide=NUM_WIDE_OF_SUMS
            )
        else:
            density, loc = find_density(_located(rough), _located(fine), origin, len(where), is_far=self.looks_far)
        if exact:
            return _exact(model, structure, density, datasets, arrangement, sums)
        scales = _designed(density)
        anchors, _ = fine(scales, jnp.broadcast_to(loc[:, None], (*scales.shape[:2], loc.shape[1])))
        blocks = _terms(model, structure, datasets, scales[:, :NUM_BLOCKS], arrangement)
        maps = None
        if not structure.is_gaussian:
            few = jax.tree.map(lambda leaf: leaf[:, :NUM_BLOCKS], anchors)
            maps = _bend(self.row_network, blocks.affine, few)
        return _joined(model, structure, density, arrangement, anchors, maps, blocks.mask)

    def _turns(self, structure: Structure, datasets: Dataset, num_points: int) -> list[slice]:
        """Which points to look at together: as many as memory allows, in parts of about one size."""
        order = _order(self.model, structure)
        width = padded_size(self.model.space.size) if order is None else order.width
        each = max(self.model.num_terms(datasets.row_mask.shape[1]), self.model.space.size) * width
        num_turns = -(-num_points * len(datasets.row_mask) * each // MOST_IN_MEMORY)
        size = -(-num_points // num_turns)
        return [slice(first, first + size) for first in range(0, num_points, size)]


def _restored(row_network: RowNetwork | None, model: Model, structure: Structure | Unstructured) -> InformedNetwork:
    return InformedNetwork(row_network or shipped_network(), model, structure)


Search = Callable[..., tuple[Anchor, Array]]


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _terms(
    model: Model,
    structure: Structure,
    datasets: Dataset,
    scales: Float[Array, "dataset point scale"],
    arrangement: Arrangement | None = None,
) -> Terms:
    """Each dataset's terms at each of its scales; one per dataset where there is no scale latent.

    Padded, so that programs of one size serve many models.
    """

    def one(
        dataset: Dataset, arrangement: Arrangement | None, scale: Array
    ) -> tuple[Array | tuple[Array, Array], Terms]:
        origin = _at_scale(model, structure, scale)
        terms = padded(conditional_terms(model, structure, origin, dataset, arrangement))
        design = terms.design
        entries = (design.own, design.border) if isinstance(design, ArrowDesign) else design
        return entries, eqx.tree_at(lambda t: t.design, terms, None)

    along_points = vmap(one, in_axes=(None, None, 0), out_axes=(None if structure.shares_design else 0, 0))
    entries, terms = vmap(along_points)(datasets, arrangement, scales)
    designs = entries if arrangement is None else arrangement.rows[0].design(*entries)
    return eqx.tree_at(lambda t: t.design, terms, designs, is_leaf=lambda leaf: leaf is None)


def _as_arrow(model: Model, structure: Structure, datasets: Dataset) -> tuple[Structure, Arrangement | None]:
    """The structure of a single dataset's rest, and its arrangement where it is an arrow."""
    if is_traced(datasets):  # it takes numbers to see
        return structure, None
    structure, arrangement = find_arrow(model, structure, jax.tree.map(lambda leaf: leaf[0], datasets))
    return structure, jax.tree.map(lambda leaf: leaf[None], arrangement)


def _sums_of(model: Model, structure: Structure, datasets: Dataset, arrangement: Arrangement) -> Sums | None:
    """Sums over the rows of a single dataset where these are all that it takes."""
    dataset, own = jax.tree.map(lambda leaf: leaf[0], (datasets, arrangement))
    return jax.tree.map(lambda leaf: leaf[None], find_sums(model, structure, dataset, own))


@partial(jit, static_argnums=(0, 1))
def _evidences(
    model: Model, structure: Structure, sums: Sums, scales: Float[Array, "dataset point scale"]
) -> Float[Array, "dataset point"]:
    """Log evidence at each point, up to a constant of each dataset, where the rest is Gaussian."""

    def one(sums: Sums, scales: Array) -> Array:
        linear, precision, log_joint = summed(model, structure, scales, sums)
        factor = cholesky(precision)
        way = solve(factor, linear)  # errors of the mean count in second order only
        return log_joint(way) - jnp.sum(log_diagonal(factor))

    return vmap(lambda sums, scales: lax.map(partial(one, sums), scales))(sums, scales)


def _located(look: Callable[..., tuple[Anchor, Array]]) -> Look:
    """Where anchors are, and their evidence."""

    def locs(scales: Array, starts: Array) -> tuple[Array, Array]:
        anchors, values = look(scales, starts)
        return anchors.loc, values

    return locs


def _num_rest(model: Model, structure: Structure) -> int:
    """Length of the vectors that hold the rest."""
    order = _order(model, structure)
    return padded_size(model.space.size) if order is None else order.size


def _order(model: Model, structure: Structure) -> Order | None:
    """Of those vectors; None where it is that of `z`."""
    return order_of(model, structure.scale_sites, structure.axis) if structure.axis else None


def _at_scale(model: Model, structure: Structure, scales: Float[Array, " scale"]) -> Float[Array, " latent"]:
    return jnp.zeros(model.space.size).at[model.space.places(structure.scale_sites)].set(scales)


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _with_remainder(
    model: Model,
    structure: Structure,
    datasets: Dataset,
    scales: Float[Array, "dataset point scale"],
    arrangement: Arrangement | None,
    terms: Terms,
    anchors: Anchor,
    averaged: Array,
) -> tuple[Anchor, Float[Array, "dataset point"]]:
    """Anchors by dataset and point, and the bounds on the evidence there.

    Their quadratic part is taken as what the terms leave of the model's own log joint: `terms.quadratic` loses digits
    where a small scale makes its parts large and opposite.
    """
    order = _order(model, structure)

    def one(dataset: Dataset, arrangement: Arrangement | None, scale: Array, terms: Terms, loc: Array) -> Array:
        origin = _at_scale(model, structure, scale)
        ties = None if arrangement is None else arrangement.ties
        rest = loc[: origin.size] if order is None else order.restore(tied(loc, ties))
        return model.log_joint(origin + rest, dataset) - jnp.sum(terms.values(terms.predictor(loc)))

    along_points = vmap(one, in_axes=(None, None, 0, terms.point_axes, 0))
    remainder = vmap(along_points)(datasets, arrangement, scales, terms, anchors.loc)
    return anchors, remainder + averaged


@partial(jit, effort="moderate")
def _designed(density: AxesDensity) -> Float[Array, "dataset point scale"]:
    """The scales of each dataset at which the rest is anchored, to be interpolated between."""
    uniform = ndtr(design(density.centre.shape[1]))
    return vmap(lambda density: vmap(density.quantile)(uniform))(density)


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _joined(
    model: Model,
    structure: Structure,
    density: AxesDensity,
    arrangement: Arrangement | None,
    anchors: Anchor,
    maps: RowMap | None,
    rest: Bool[Array, "dataset block latent"],
) -> NestedPosterior:
    """Posteriors of datasets with scale latents.

    Args:
        model: The model.
        structure: What was read off it.
        density: Of each dataset's scales.
        arrangement: Of the rest where it is an arrow.
        anchors: Of the rest at each point of the design.
        maps: How the rest is bent in each block of draws. None where it is Gaussian.
        rest: True for the active latents but the scales, the same in each block.
    """
    if maps is None:
        maps = vmap(vmap(RowMap.straight))(rest)

    def one(density: AxesDensity, arrangement: Arrangement | None, anchors: Anchor, maps: RowMap) -> NestedPosterior:
        return _nest(model, structure, density, arrangement, InterpolatedRest.through(anchors, maps))

    return vmap(one)(density, arrangement, anchors, maps)


@partial(jit, effort="moderate", static_argnums=(0, 1))
def _exact(
    model: Model,
    structure: Structure,
    density: AxesDensity,
    datasets: Dataset,
    arrangement: Arrangement | None,
    sums: Sums | None,
) -> NestedPosterior:
    """Posteriors of datasets with several scale latents, given which the rest is Gaussian."""

    def one(
        density: AxesDensity, dataset: Dataset, arrangement: Arrangement | None, sums: Sums | None
    ) -> NestedPosterior:
        mask = model.space.mask(dataset.plate_masks).at[model.space.places(structure.scale_sites)].set(False)
        order = _order(model, structure)
        mask = jnp.pad(mask, (0, padded_size(mask.size) - mask.size)) if order is None else order.arrange(mask)
        parts = {"dataset": dataset, "arrangement": arrangement, "sums": sums}
        return _nest(
            model, structure, density, arrangement, ExactRest(mask=mask, model=model, structure=structure, **parts)
        )

    return vmap(one)(density, datasets, arrangement, sums)


def _nest(
    model: Model, structure: Structure, density: AxesDensity, arrangement: Arrangement | None, rest: AbstractRest
) -> NestedPosterior:
    """The posterior with these parts; the rest of an arrow is told in the order of `z`."""
    order = _order(model, structure)
    if order is not None and arrangement is not None:
        from_z, to_z = jnp.asarray(order.from_z), jnp.asarray(order.to_z)
        mask = order.restore(rest.mask)
        rest = ArrangedRest(rest=rest, mask=mask, from_z=from_z, to_z=to_z, ties=arrangement.ties)
    return NestedPosterior.nest(density, rest, jnp.asarray(model.space.places(structure.scale_sites)))


@partial(filter_jit, effort="moderate")
def _bend(network: RowNetwork, affine: Terms, anchors: Anchor) -> RowMap:
    """Maps of many datasets at a few points each."""
    return each_problem(network)(affine, anchors)


@partial(filter_jit, effort="moderate")
def _anchored(network: RowNetwork, affine: Terms, anchors: Anchor) -> AnchoredPosterior:
    """Posteriors of many datasets without a scale latent, each of which has a single point."""
    maps = each_problem(network)(affine, anchors)
    return vmap(AnchoredPosterior.around)(*jax.tree.map(lambda leaf: leaf[:, 0], (anchors, maps)))


@partial(filter_jit, effort="moderate")
def _around(network: RowNetwork, lines: Lines, anchor: Anchor, gaussians: LocalGaussian) -> ModesPosterior:
    """Posterior of one dataset from its modes, as a batch of one."""
    best = AnchoredPosterior.around(anchor, network(lines, anchor))
    log_weights = mode_weights(gaussians, lines.mask)
    q = ModesPosterior(best=best, gaussians=gaussians, log_weights=log_weights, mask=lines.mask)
    return jax.tree.map(lambda leaf: leaf[None], q)
