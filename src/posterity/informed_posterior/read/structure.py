"""What an informed posterior needs to know of a model: its scale latents, and the terms of the rest.

A latent that enters otherwise than through one number per row (a noise sd, a dispersion, the spread of group
effects) is a scale latent: with its value given, the rest is read once more.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.informed_posterior.algebra.arrow import Precision
from posterity.informed_posterior.algebra.dense import gram
from posterity.informed_posterior.algebra.rows import Arrangement, Rows
from posterity.informed_posterior.read.conditional import Conditional
from posterity.informed_posterior.read.curvature import Entries, which_count
from posterity.informed_posterior.read.derivatives import diagonal, hessian, jacobian
from posterity.informed_posterior.read.predictors import NotInformedError, Parts, SiteTerms, read_sites
from posterity.informed_posterior.read.rows import count_directions, rows_are_apart
from posterity.informed_posterior.read.scales import find_scales
from posterity.informed_posterior.read.symmetry import scales_have_twins
from posterity.informed_posterior.read.terms import Terms, gram_of_rows
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit
from posterity.runtime.keys import key_for

__all__ = [
    "NotInformedError",
    "Probe",
    "Structure",
    "Unstructured",
    "check_log_concave",
    "check_rows_apart",
    "check_scales",
    "conditional_terms",
    "find_structure",
    "read_structure",
]

STEPS = np.array([sign * 2.0**k for k in range(-2, 11) for sign in (-1.0, 1.0)], np.float32)  # of predictors
UPWARDS = 1e-3  # curvature of a term, relative to the largest near its predictor, that is no rounding

Probe = tuple[Dataset, Float[Array, " latent"]]


@dataclasses.dataclass(frozen=True)
class Structure:
    """What was read off a model.

    Attributes:
        scale_sites: Latent sites that are given before the rest is read.
        is_gaussian: Given those, the posterior of the rest is exactly Gaussian.
        shares_design: The rows' predictors do not depend on them.
        has_kinks: Some rows' log likelihood is straight between kinks, so that derivatives tell nothing of its width.
        axis: Plate, or `site:axis`, along whose entries the rest is taken as an arrow; empty where it is dense.
    """

    scale_sites: tuple[str, ...]
    is_gaussian: bool
    shares_design: bool = True
    has_kinks: bool = False
    axis: str = ""


@dataclasses.dataclass(frozen=True)
class Unstructured:
    """A model that is taken as it is, by per-row gradients and Hessians; see `local`.

    Attributes:
        num_directions: Lines along which a row bends the posterior; 0 if rows cannot be taken one by one.
        reason: Why it has no structure.
        is_gaussian: Never known of such a model.
        scale_sites: None are given before the rest.
    """

    num_directions: int
    reason: str
    is_gaussian: ClassVar[bool] = False
    scale_sites: ClassVar[tuple[str, ...]] = ()


def find_structure(
    model: Model, probe: Probe, scale_sites: Collection[str] | None = None, *, check: bool = True
) -> Structure | Unstructured:
    """A model's structure, or how to do without.

    Args:
        model: The model.
        probe: A few rows, and latents at which to look.
        scale_sites: Latent sites to take as scales; found if None.
        check: Make sure with numbers that no row's likelihood depends on another row's predictor.

    Raises:
        NotInformedError: Scale sites are named, and the model does not have that structure.
    """
    try:
        structure = read_structure(model, scale_sites)
        if scale_sites is None:
            check_scales(model, structure, probe)
        if check:
            check_rows_apart(model, structure, probe)
        if scale_sites is None:
            check_log_concave(model, structure, probe)
    except NotInformedError as error:
        if scale_sites is not None:
            raise
        return Unstructured(count_directions(model, *probe) if rows_are_apart(model, *probe) else 0, str(error))
    return structure


def read_structure(model: Model, scale_sites: Collection[str] | None = None) -> Structure:
    """Finds a model's scale latents, and checks that the rest has one predictor per row.

    Args:
        model: The model.
        scale_sites: Latent sites to take as scales; found if None.

    Raises:
        NotInformedError: The model has another structure.
    """
    found: list[Structure] = []

    def read() -> None:
        found.append(_structure(model, *_example(model), scale_sites))

    jax.eval_shape(read)  # shapes are all that is needed
    return found[0]


def _structure(model: Model, parts: Parts, dataset: Dataset, scale_sites: Collection[str] | None) -> Structure:
    scales = find_scales(model, parts, dataset) if scale_sites is None else tuple(scale_sites)
    for site in model.space.sites:
        if site.name in scales and set(site.plates) & set(model.capacity):
            raise NotInformedError(f"scale latent '{site.name}' of '{model.name}' lies in a plate that varies in size")
    rest = {name: part for name, part in parts.items() if name not in scales}
    fixed = {name: part for name, part in parts.items() if name in scales}
    terms = read_sites(model, rest, fixed, dataset).terms
    curved = [group for group in terms if not group.is_quadratic]
    has_kinks = any(group.curvatures is Entries.ZERO for group in curved)
    return Structure(scales, not curved, not any(group.moves for group in curved), has_kinks)


def check_scales(model: Model, structure: Structure, probe: Probe) -> None:
    """Makes sure that the scales' density has no twin of its peak that the model itself demands.

    Raises:
        NotInformedError: It has.
    """
    if structure.scale_sites and scales_have_twins(model, structure.scale_sites, *probe):
        raise NotInformedError(f"the log joint of '{model.name}' is the same where its latents change places or signs")


def check_log_concave(model: Model, structure: Structure, probe: Probe) -> None:
    """Makes sure that one anchor is enough where no scale is given before it.

    The log likelihood of a row that curves upwards somewhere, as that of an outlier under a Student-t distribution
    does, lets rows pull to several places, each a mode of the posterior. With a scale latent, which grows with what
    rows leave over, camps of rows rarely do.

    Raises:
        NotInformedError: It curves upwards.
    """
    if structure.scale_sites or structure.is_gaussian:
        return

    def curvatures(dataset: Dataset, z: Array) -> Array:
        terms = conditional_terms(model, structure, z, dataset)
        along = vmap(lambda step: terms.slopes_and_curvatures(terms.predictor(z) + step)[1])
        return jnp.where(terms.is_prior, 0.0, along(jnp.asarray(STEPS)))

    found = np.nan_to_num(np.asarray(jit(curvatures, effort="little")(*probe)), nan=0.0, posinf=0.0, neginf=0.0)
    size = np.max(np.abs(found[np.abs(STEPS) <= 8.0]), axis=0, initial=0.0)
    if np.any(found < -UPWARDS * size):
        raise NotInformedError(f"rows of '{model.name}' may pull to several places: its terms are not log-concave")


def check_rows_apart(model: Model, structure: Structure, probe: Probe) -> None:
    """Makes sure that each term depends on its own predictor alone.

    A model that normalises over its rows, say, has as many log probabilities as predictors, but mixes them. Each
    predictor is moved by itself, so that no two of the rows looked at can hide together.

    Raises:
        NotInformedError: It does not.
    """

    def leak(rng_key: PRNGKeyArray, dataset: Dataset, z: Array) -> Array:
        """Largest change of a term when the predictor of another one moves."""
        terms = conditional_terms(model, structure, z, dataset)
        predictor = terms.predictor(z) + 0.1 * random.normal(rng_key, terms.offset.shape)

        def change_of_others(moved: Array) -> Array:
            is_moved = jnp.arange(predictor.size) == moved
            change = jax.jvp(terms.values, (predictor,), (is_moved.astype(predictor.dtype),))[1]
            return jnp.max(jnp.where(is_moved, 0.0, jnp.abs(change)), initial=0.0)

        return jnp.max(lax.map(change_of_others, jnp.arange(predictor.size)), initial=0.0)

    if (
        not float(jit(leak, effort="little")(key_for(0, "rows apart"), *probe)) == 0.0
    ):  # NaN is no proof that rows are apart
        raise NotInformedError(f"the likelihood of a row of '{model.name}' depends on other rows' predictors")


def conditional_terms(
    model: Model,
    structure: Structure,
    z: Float[Array, " latent"],
    dataset: Dataset,
    arrangement: Arrangement | None = None,
) -> Terms:
    """One dataset's terms, given its scale latents.

    Args:
        model: The model.
        structure: What was read off it.
        z: Unconstrained latents, of which only the scale latents are used.
        dataset: Padded dataset.
        arrangement: Where the rest is an arrow, how it is arranged.

    Returns:
        Terms over the whole of `z`, in which the scale latents are masked; those of an arrow over its own latents, in
        its order.
    """
    rows, ties = (None, None) if arrangement is None else (arrangement.rows, arrangement.ties)
    reading = Conditional.read(model, structure.scale_sites, structure.axis, z, dataset, ties)
    origin, order = reading.origin, reading.order
    constant, linear = jax.value_and_grad(reading.quadratic)(origin)
    precision = hessian(reading.quadratic, origin, order)
    of_roots, *of_quadratics = rows or [None] * len(reading.predictors)
    for group, predictor, own in zip(reading.quadratics, reading.predictors[1:], of_quadratics, strict=True):
        added = _quadratic_form(reading, group, predictor, own)
        constant, linear, precision = constant + added[0], linear + added[1], precision + added[2]
    roots = reading.roots
    ends = tuple(itertools.accumulate(group.size for group in roots))[:-1]
    none = jnp.zeros(0, bool)
    return Terms(
        design=jacobian(reading.predictors[0], origin, order, of_roots),
        offset=reading.predictors[0](origin),
        active=jnp.concatenate([none, *[jnp.ravel(group.active) for group in roots]]),
        is_prior=jnp.concatenate([none, *[jnp.full(group.size, not group.is_data) for group in roots]]),
        log_density=Partial(_join([group.value for group in roots], ends), [group.known for group in roots]),
        precision=precision + diagonal(jnp.where(reading.mask, 0.0, 1.0), order),
        linear=linear,
        constant=constant,
        mask=reading.mask,
        has_prior=not all(group.is_data for group in roots),
        is_shared=structure.shares_design,
    )


def _quadratic_form(
    reading: Conditional, group: SiteTerms, predictor: Callable[[Array], Array], rows: Rows | None
) -> tuple[Float[Array, ""], Float[Array, " latent"], Precision]:
    r"""Constant, linear part and precision of terms that are quadratic in affine predictors: $J' \mathrm{diag}(w) J$.

    Rows are read once for all scales wherever $J = J_2 A$ with a $J_2$ that the scales do not change, and all rows have
    one weight: what is left to each scale is $w A' (J_2' J_2) A$.
    """

    def values(eta: Array) -> Array:
        return jnp.where(active, group.value(group.known, eta), 0.0)

    active = jnp.ravel(group.active)
    inner, first = group.inner if reading.order is None else None, None
    outer, stage = predictor, reading.origin
    if inner is not None:
        outer, stage = inner.predictor, inner.value(reading.parts_of(reading.origin))
        first = jax.jacfwd(lambda v: inner.value(reading.parts_of(v)))(reading.origin)
    design, offset = jacobian(outer, stage, reading.order, rows), outer(stage)
    slopes, changes = jax.jvp(jax.grad(lambda eta: jnp.sum(values(eta))), (offset,), (jnp.ones_like(offset),))
    linear, is_shared = design.T @ slopes, inner is not None or not group.moves
    if group.curvatures <= Entries.ZERO_OR_SAME and is_shared:
        counts = jnp.where(active, which_count(group.value, group.known, offset), 0.0)
        weight = jnp.sum(-changes) / jnp.maximum(jnp.sum(counts), 1.0)
        precision = jax.tree.map(lambda leaf: weight * leaf, gram(design, counts))
    else:
        precision = gram_of_rows(design, -changes, is_shared=is_shared)
    if first is not None:
        linear, precision = first.T @ linear, first.T @ precision @ first
    return jnp.sum(values(offset)), linear, precision


def _join(values: Sequence[Callable[..., Array]], ends: tuple[int, ...]) -> Callable[..., Array]:
    def log_density(known: Sequence[dict[int, Array]], predictor: Float[Array, " term"]) -> Float[Array, " term"]:
        parts = jnp.split(predictor, ends)
        return jnp.concatenate(
            [jnp.zeros(0), *[value(have, part) for value, have, part in zip(values, known, parts, strict=False)]]
        )

    return log_density


def _example(model: Model) -> tuple[Parts, Dataset]:
    """Latents and a dataset, with a number of rows that nothing else has."""
    space = model.space
    parts = {site.name: space.part(jnp.zeros(space.size), site.name) for site in space.sites}
    taken = {n for part in parts.values() for n in part.shape} | {n for a in model.arguments for n in a.shape}
    num_rows = next(n for n in itertools.count(7) if n not in taken)
    values = {a.name: jnp.zeros((num_rows, *a.shape), a.dtype) for a in model.arguments}
    return parts, Dataset(values, jnp.ones(num_rows, bool), model.plate_masks(model.capacity))
