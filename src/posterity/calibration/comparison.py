"""One dataset's posterior beside the latents that made the dataset."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from posterity.calibration.c2st import features
from posterity.calibration.ranks import weighted_ranks
from posterity.calibration.simulation import Points
from posterity.calibration.tarp import reference_distances
from posterity.trust.moments import moments_and_quantiles

__all__ = ["INTERVAL", "Comparison", "compare", "stack_comparisons"]

INTERVAL = (0.05, 0.95)


class Comparison(NamedTuple):
    """What the judges need of one dataset, or of many when every array has a leading dataset axis.

    Attributes:
        true: Scalar latents that made the dataset, `(scalar,)`.
        mean: Their posterior means.
        sd: Their posterior standard deviations.
        low: Their 5% quantiles.
        high: Their 95% quantiles.
        ranks: Normalised ranks of the true scalars, `(scalar,)`.
        log_joint_rank: That of the log joint, `()`.
        distance_rank: That of the distance to a random reference, `()`.
        true_features: What the classifier sees of the truth, `(feature,)`.
        drawn_features: What it sees of one draw.
    """

    true: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ranks: np.ndarray
    log_joint_rank: np.ndarray
    distance_rank: np.ndarray
    true_features: np.ndarray
    drawn_features: np.ndarray


def compare(
    points: Points,
    weights: Float[np.ndarray, " draw"],
    reference: Float[np.ndarray, " latent"],
    scale: Float[np.ndarray, " latent"],
    generator: np.random.Generator,
) -> Comparison:
    """Compares weighted draws with the truth.

    Args:
        points: The truth and the draws.
        weights: Of the draws, not negative, of sum 1.
        reference: Random point of `z` for TARP, which knows nothing of the truth.
        scale: Units of the distances to it.
        generator: Breaks ties, and picks the draw that the classifier sees.
    """
    distances = reference_distances(points.z, reference, scale)
    scalars = np.column_stack([points.latents, points.log_joint, distances])
    ranks = weighted_ranks(scalars[0], scalars[1:], weights, generator)
    found = [moments_and_quantiles(column, weights, INTERVAL) for column in points.latents[1:].T]
    mean, sd, quantiles = (np.array(part) for part in zip(*found, strict=True))
    return Comparison(
        points.latents[0],
        mean,
        sd,
        quantiles[:, 0],
        quantiles[:, 1],
        ranks[:-2],
        ranks[-2],
        ranks[-1],
        *_classified(points, weights, generator),
    )


def stack_comparisons(comparisons: Sequence[Comparison]) -> Comparison:
    """Many datasets as one, the dataset axis first."""
    return Comparison(*(np.stack(field) for field in zip(*comparisons, strict=True)))


def _classified(
    points: Points, weights: Float[np.ndarray, " draw"], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Features of the truth and of one draw, both relative to all other draws."""
    chosen = 1 + int(generator.choice(len(weights), p=weights))
    others = weights.copy()
    others[chosen - 1] = 0.0
    others = others / others.sum()
    draws = points.z[1:]
    mean = others @ draws
    sd = np.sqrt(others @ (draws - mean) ** 2)
    with np.errstate(invalid="ignore"):  # infinite on both sides
        ratios = points.log_joint - points.log_q
        ratios = ratios - np.median(ratios[1:])
    return (
        features(points.z[0], mean, sd, float(ratios[0])),
        features(points.z[chosen], mean, sd, float(ratios[chosen])),
    )
