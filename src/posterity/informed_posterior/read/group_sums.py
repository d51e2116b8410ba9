r"""Normal rows of one noise sd, read once: sums over rows, from which their log likelihood follows at any scales.

Where a site's log probabilities are $l_i(\eta) = a(\tau) + b_i - \tfrac12 w(\tau) (\eta - m_i)^2$ with affine
predictors that no scale moves, all rows together are

$$\sum_i l_i = N a(\tau) + w(\tau)\, Q(\beta) + \text{const},$$

with one quadratic form $Q$ for all scales. A few rows tell $a$ and $w$, and a search among hundreds of scales never
meets the others again. That rows are of this kind is tried at a few scales, on the rows themselves.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from posterity.informed_posterior.algebra.arrow import ArrowPrecision
from posterity.informed_posterior.algebra.dense import gaussian, gram
from posterity.informed_posterior.algebra.rows import Arrangement, Ties
from posterity.informed_posterior.read.conditional import Conditional
from posterity.informed_posterior.read.derivatives import diagonal, hessian, jacobian
from posterity.informed_posterior.read.order import order_of
from posterity.informed_posterior.read.predictors import SiteTerms
from posterity.informed_posterior.read.structure import Structure
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import jit
from posterity.runtime.precision import real_dtype

__all__ = ["Sums", "find_sums", "summed"]

NUM_FEW = 8  # rows that tell what the scales do to all of them
NUM_TRIED = 3  # scales at which all rows are looked at
SAME = 1e-3  # relative difference of numbers that are the same in all rows


class SiteSums(eqx.Module):
    """Of one site, at scales that are all 0, around some values of the latents.

    Attributes:
        number: $N$.
        below: How far the log probabilities there lie below their peaks, in nats, negative.
        linear: Gradient.
        precision: Minus second derivatives.
        peak: Of the first row, in nats.
        weight: Of the first row.
    """

    number: Float[Array, ""]
    below: Float[Array, ""]
    linear: Float[Array, " latent"]
    precision: ArrowPrecision
    peak: Float[Array, ""]
    weight: Float[Array, ""]


class Sums(eqx.Module):
    """Sums over the rows of one dataset.

    Attributes:
        at: Values of the latents that all is told around.
        few: The first rows.
        ties: Of groups to the border, see `Arrangement`.
        sites: Of each quadratic site.
    """

    at: Float[Array, " latent"]
    few: Dataset
    ties: Ties | None
    sites: tuple[SiteSums, ...]


def find_sums(model: Model, structure: Structure, dataset: Dataset, arrangement: Arrangement) -> Sums | None:
    """The sums of one dataset; None where its rows are not of this kind.

    Args:
        model: The model.
        structure: What was read off it; Gaussian, and an arrow.
        dataset: Padded dataset, one of numbers.
        arrangement: Of the rest.
    """
    too_few = int(np.sum(dataset.row_mask)) < NUM_FEW
    if model.whole or dataset.weight is not None or not structure.is_gaussian or too_few:
        return None
    first = np.flatnonzero(np.asarray(dataset.row_mask))[:NUM_FEW]
    values = {name: jnp.asarray(np.asarray(value)[first]) for name, value in dataset.values.items()}
    few = Dataset(values, jnp.ones(NUM_FEW, bool), dataset.plate_masks)
    at = jnp.zeros(order_of(model, structure.scale_sites, structure.axis).size)
    sites, fits = _sums(model, structure, dataset, few, arrangement, at)
    if not bool(fits):
        return None
    # Around the rest's mean, so that little is left to cancel.
    at = _mean(model, structure, Sums(at, few, arrangement.ties, sites))
    return Sums(at, few, arrangement.ties, _sums(model, structure, dataset, few, arrangement, at)[0])


@partial(jit, effort="little", static_argnums=(0, 1))
def _sums(
    model: Model, structure: Structure, dataset: Dataset, few: Dataset, arrangement: Arrangement, at: Array
) -> tuple[tuple[SiteSums, ...], Array]:
    """The sums, and whether rows are of this kind."""
    where = model.space.places(structure.scale_sites)
    tried = np.random.default_rng(0).normal(size=(NUM_TRIED, len(where))).astype(real_dtype())

    def look(scales: Array, dataset: Dataset) -> tuple[Conditional, list[tuple[Array, Array, Array]]]:
        z = jnp.zeros(model.space.size).at[where].set(scales)
        reading = Conditional.read(model, structure.scale_sites, structure.axis, z, dataset, arrangement.ties)
        pairs = zip(reading.quadratics, reading.predictors[1:], strict=True)
        return reading, [_peaks(site, predictor(at)) for site, predictor in pairs]

    reading, parts = look(jnp.zeros(len(where)), dataset)
    fits = [jnp.asarray(not any(site.moves for site in reading.quadratics) and not reading.roots)]
    for scales in tried:
        others, of_few = look(jnp.asarray(scales), dataset)[1], look(jnp.asarray(scales), few)[1]
        for site, own, other, first in zip(reading.quadratics, parts, others, of_few, strict=True):
            fits.append(_one_kind(jnp.ravel(site.active), own, other, first))
    sites = []
    for site, predictor, own, (value, slope, weight) in zip(
        reading.quadratics, reading.predictors[1:], arrangement.rows[1:], parts, strict=True
    ):
        active = jnp.ravel(site.active)
        design = jacobian(predictor, at, reading.order, own)
        below = jnp.where(active, -0.5 * jnp.square(slope) / weight, 0.0)
        sites.append(
            SiteSums(
                number=jnp.sum(active.astype(value.dtype)),
                below=jnp.sum(below),
                linear=design.T @ jnp.where(active, slope, 0.0),
                precision=gram(design, jnp.where(active, weight, 0.0)),
                peak=value[0] - below[0],
                weight=weight[0],
            )
        )
    return tuple(sites), jnp.all(jnp.stack(fits))


def _peaks(site: SiteTerms, predictor: Array) -> tuple[Array, Array, Array]:
    """Values, slopes and weights of a site's log probabilities."""
    slopes, changes = jax.jvp(
        jax.grad(lambda eta: jnp.sum(site.value(site.known, eta))), (predictor,), (jnp.ones_like(predictor),)
    )
    return site.value(site.known, predictor), slopes, -changes


def _one_kind(active: Array, own: tuple[Any, ...], other: tuple[Any, ...], first: tuple[Any, ...]) -> Array:
    """Whether, at other scales, all rows have changed alike, and the first row by itself as among all."""
    (value, slope, weight), (other_value, other_slope, other_weight) = own, other
    peak, other_peak = value + 0.5 * slope**2 / weight, other_value + 0.5 * other_slope**2 / other_weight
    gap, ratio, rise = slope / weight, other_weight / weight, other_peak - peak
    size = jnp.max(jnp.where(active, jnp.abs(gap), 0.0)) + 1.0
    alike = [
        jnp.abs(other_slope / other_weight - gap) <= SAME * size,
        jnp.abs(ratio - ratio[0]) <= SAME * ratio[0],
        jnp.abs(rise - rise[0]) <= SAME * (1.0 + jnp.abs(value) + jnp.abs(other_value)),
        jnp.abs(first[2][0] - other_weight[0]) <= SAME * other_weight[0],
        jnp.abs(first[0][0] - other_value[0]) <= SAME * (1.0 + jnp.abs(other_value[0])),
    ]
    return active[0] & jnp.all(jnp.where(active, jnp.stack([jnp.broadcast_to(a, active.shape) for a in alike]), True))


def summed(
    model: Model, structure: Structure, scales: Float[Array, " scale"], sums: Sums
) -> tuple[Float[Array, " latent"], ArrowPrecision, Callable[[Float[Array, " latent"]], Float[Array, ""]]]:
    """Gradient of the log joint at `sums.at` and these scales, minus its second derivatives, and itself.

    The log joint takes the way from `sums.at`. Up to a constant of the dataset it is made of parts that are large only
    where they are negative, so that no rounding error looks like a peak.

    Args:
        model: The model.
        structure: What was read off it.
        scales: Values of the scale latents.
        sums: Of the rows.
    """
    z = jnp.zeros(model.space.size).at[model.space.places(structure.scale_sites)].set(scales)
    reading = Conditional.read(model, structure.scale_sites, structure.axis, z, sums.few, sums.ties)
    precision = hessian(reading.quadratic, sums.at, reading.order)
    # The prior's slopes are told from where the border takes the groups: elsewhere large ones cancel in the border.
    num_own, num_groups = precision.blocks.shape[1:]
    from_border = jnp.where(jnp.arange(sums.at.size) < num_own * num_groups, sums.at, 0.0)
    linear = jax.grad(reading.quadratic)(sums.at - from_border) - precision @ from_border
    constant, ratios = jnp.zeros(()), []
    for site, predictor, own in zip(reading.quadratics, reading.predictors[1:], sums.sites, strict=True):
        values, slopes, weights = _peaks(site, predictor(sums.at))
        ratio = weights[0] / own.weight
        constant += own.number * (values[0] + 0.5 * slopes[0] ** 2 / weights[0] - own.peak)
        linear += ratio * own.linear
        precision += jax.tree.map(lambda leaf, ratio=ratio: ratio * leaf, own.precision)
        ratios.append(ratio)

    def log_joint(way: Float[Array, " latent"]) -> Float[Array, ""]:
        value = constant + reading.quadratic(sums.at + way)
        for ratio, own in zip(ratios, sums.sites, strict=True):
            value += ratio * (own.below + way @ (own.linear - 0.5 * (own.precision @ way)))
        return value

    return linear, precision + diagonal(jnp.where(reading.mask, 0.0, 1.0), reading.order), log_joint


@partial(jit, effort="little", static_argnums=(0, 1))
def _mean(model: Model, structure: Structure, sums: Sums) -> Float[Array, " latent"]:
    """Of the rest, where all scales are 0."""
    scales = jnp.zeros(len(model.space.places(structure.scale_sites)))
    linear, precision, _ = summed(model, structure, scales, sums)
    return sums.at + gaussian(precision, linear)[0]
