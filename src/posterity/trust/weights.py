"""Importance weights of one answer: how far the draws of q stand from the posterior itself.

The log joint is known up to the evidence, so every draw can be weighed: the log ratio log p(z, D) - log q(z)
is constant if and only if q is the posterior. Pareto smoothing (PSIS, Vehtari et al. 2024) tames the largest
weights, and its k-hat, the tail index of the ratios, says whether reweighting can be relied on.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from posterity.trust.pareto import smooth_tails

__all__ = [
    "MIN_DRAWS",
    "ImportanceWeights",
    "ess_fraction",
    "flattened",
    "pareto_smoothed",
    "pareto_smoothed_many",
    "plainly_smoothed",
    "unusable_weights",
]

MIN_DRAWS = 25
"""PSIS fits a Pareto tail to a fifth of a small sample, and five points are the least that it fits."""

_EQUAL = 0.01
"""Nats. Ratios that all lie this close are equal: where q is the posterior they differ by rounding, which has tails."""

_COARSEST = 1.0
"""Nats. Where 64-bit floats are further apart than this, ratios of that size say nothing: 10^16 nats and more."""

HALVINGS = 12  # of the power of flattened weights

_LARGEST_ROUNDING = 0.05
"""Nats. Log joints are float32 sums: over 10^5 to 10^6 rows they are rounded to steps of 0.01 to 0.06."""


@dataclass(frozen=True, eq=False)
class ImportanceWeights:
    """Weights that turn draws of q into draws of the posterior.

    Attributes:
        log_weights: Shape `(draw,)`, normalised (their exponentials sum to 1), Pareto-smoothed where that was
            possible; equal for all draws where the ratios cannot be used at all. -inf is a weight of zero.
        pareto_k: Tail index of the ratios. -inf where all are equal to 0.01 nats (q is the posterior: no tail);
            NaN where too few draws have a weight to tell; +inf where the ratios cannot be used or no tail
            fits them.
        ess: Effective sample size 1 / sum w^2, in draws; 0 where the ratios cannot be used at all.
        problems: Why `pareto_k` is NaN or +inf, one sentence each; empty where the weights can be judged by
            numbers.
        is_sound: False where the log joint that they are made of was found to be computed wrongly.
    """

    log_weights: np.ndarray
    pareto_k: float
    ess: float
    problems: tuple[str, ...] = ()
    is_sound: bool = True

    def __repr__(self) -> str:
        return f"ImportanceWeights({self.log_weights.size} draws, k-hat {self.pareto_k:.2f}, ESS {self.ess:.0f})"


def pareto_smoothed(log_ratios: np.ndarray) -> ImportanceWeights:
    """Pareto-smoothed importance weights of one dataset's draws.

    Whatever the values of the ratios are, the result says what they are good for.

    A ratio of -inf is an honest zero weight (the draw lies outside the posterior's support); the tail is then
    fitted to the other draws. NaN or +inf anywhere, or -inf everywhere, leaves nothing to weigh by.

    Args:
        log_ratios: log p(z, D) - log q(z) of draws z ~ q, in nats, unnormalised, shape `(draw,)`. The draws
            are independent of each other.

    Raises:
        ValueError: `log_ratios` is not a vector with at least one entry.
    """
    return pareto_smoothed_many(_vector(log_ratios)[None])[0]


def pareto_smoothed_many(log_ratios: np.ndarray) -> list[ImportanceWeights]:
    """`pareto_smoothed` of several datasets, shape `(dataset, draw)`, for little more time than one takes."""
    ratios = np.asarray(log_ratios, dtype=np.float64)
    positive = np.isfinite(ratios)
    found: dict[int, ImportanceWeights] = {}
    smoothable: dict[int, list[int]] = {}  # number of positive weights -> datasets
    for i, (row, usable) in enumerate(zip(ratios, positive, strict=True)):
        num_draws, num_positive = row.size, int(usable.sum())
        num_unusable = int(np.sum(np.isnan(row) | np.isposinf(row)))
        if num_unusable:
            unusable = f"The log joint minus log q is NaN or +inf at {num_unusable} of {num_draws} draws."
            found[i] = unusable_weights(num_draws, unusable)
        elif num_positive and np.spacing(np.abs(row[usable]).max()) > _COARSEST:
            size = float(np.abs(row[usable]).max())
            coarse = f"The log joint minus log q is as large as {size:.2g} nats: 64-bit floats cannot tell draws apart."
            found[i] = unusable_weights(num_draws, coarse)
        elif num_positive == 0:
            found[i] = unusable_weights(
                num_draws, f"The posterior density is zero at every one of the {num_draws} draws."
            )
        elif num_positive < MIN_DRAWS:
            few = f"Only {num_positive} of {num_draws} draws have positive weight; judging takes {MIN_DRAWS}."
            found[i] = _weights(_normalised(row), float("nan"), (few,))
        elif np.ptp(row[usable]) <= _EQUAL:
            found[i] = _weights(_normalised(row), -np.inf)
        else:
            smoothable.setdefault(num_positive, []).append(i)
    for chosen in smoothable.values():
        usable = np.stack([_without_ties(ratios[i, positive[i]]) for i in chosen])
        for i, log_weights, pareto_k in zip(chosen, *smooth_tails(usable), strict=True):
            whole = np.full(ratios.shape[1], -np.inf)
            if np.isfinite(pareto_k) and np.isfinite(log_weights).all():
                whole[positive[i]] = log_weights
                found[i] = _weights(whole, float(pareto_k))
            else:
                no_fit = "No Pareto tail fits the weights (k-hat is infinite): a few draws carry nearly all weight."
                found[i] = _weights(_normalised(ratios[i]), np.inf, (no_fit,))
    return [found[i] for i in range(len(ratios))]


def plainly_smoothed(
    log_ratios: Float[np.ndarray, "dataset draw"],
) -> tuple[Float[np.ndarray, "dataset draw"], Float[np.ndarray, " dataset"], Bool[np.ndarray, " dataset"]]:
    """Normalised log weights and k-hat where nothing is out of the ordinary, and where that is.

    Out of the ordinary are ratios that are not finite, tied, equal or huge, and tails that nothing fits; of those see
    `pareto_smoothed_many`.
    """
    ordered = np.sort(log_ratios, axis=1)
    size = np.maximum(np.abs(ordered[:, 0]), np.abs(ordered[:, -1]))
    with np.errstate(invalid="ignore"):
        is_plain = np.all(np.diff(ordered, axis=1) > 0.0, axis=1) & (ordered[:, -1] - ordered[:, 0] > _EQUAL)
        is_plain &= np.isfinite(size) & (np.spacing(size) <= _COARSEST)
    log_weights, pareto_k = np.zeros(log_ratios.shape), np.full(len(log_ratios), np.nan)
    if np.any(is_plain):
        log_weights[is_plain], pareto_k[is_plain] = smooth_tails(log_ratios[is_plain])
    return log_weights, pareto_k, is_plain & np.isfinite(pareto_k) & np.isfinite(log_weights).all(axis=1)


def _weights(log_weights: np.ndarray, pareto_k: float, problems: tuple[str, ...] = ()) -> ImportanceWeights:
    return ImportanceWeights(log_weights, pareto_k, _effective_sample_size(log_weights), problems)


def ess_fraction(log_ratios: np.ndarray) -> float:
    """Effective sample size over the number of draws, from the plain weights, without smoothing.

    Args:
        log_ratios: log p(z, D) - log q(z), unnormalised, shape `(draw,)`.

    Returns:
        Between 1 / draws and 1; 0 where a ratio is NaN or +inf, or where all are -inf.
    """
    ratios = _vector(log_ratios)
    if np.isnan(ratios).any() or not np.isfinite(ratios.max()):
        return 0.0
    return _effective_sample_size(_normalised(ratios)) / ratios.size


def flattened(log_ratios: Float[np.ndarray, " draw"], enough: float) -> Float[np.ndarray, " draw"]:
    """Normalised log weights, raised to the largest power up to 1 that leaves so many draws effective.

    Args:
        log_ratios: log p(z, D) - log q(z), unnormalised; what is NaN or +inf counts as zero weight.
        enough: Effective draws; where there are fewer of positive weight, all of these weigh about the same.
    """
    usable = np.isfinite(log_ratios)
    weights = np.where(usable, log_ratios, -np.inf)
    if not usable.any():
        return weights
    weights -= weights.max()
    low, high = 0.0, 1.0
    power = 1.0
    for _ in range(HALVINGS):
        raised = _normalised(np.where(usable, power * np.where(usable, weights, 0.0), -np.inf))
        low, high = (power, high) if _effective_sample_size(raised) >= enough else (low, power)
        if low == 1.0:
            break
        power = 0.5 * (low + high)
    return raised


def _without_ties(log_ratios: np.ndarray) -> np.ndarray:
    """Ratios with ties broken by jitter of half a rounding step.

    The closer q is to the posterior and the more rows there are, the more float32 ratios fall on the same
    value, and PSIS cannot fit a tail of which a quarter ties. The jitter is below what the ratios resolve,
    and always the same.
    """
    steps = np.diff(np.sort(log_ratios))
    if steps.all():
        return log_ratios
    step = min(np.median(steps[steps > 0.0]), _LARGEST_ROUNDING)
    return log_ratios + step * np.random.default_rng(0).uniform(-0.5, 0.5, log_ratios.size)


def unusable_weights(num_draws: int, problem: str, *, is_sound: bool = True) -> ImportanceWeights:
    """Weights of draws that nothing can be said of.

    Args:
        num_draws: Draws.
        problem: Why, as a sentence.
        is_sound: False where the log joint was computed wrongly.
    """
    return ImportanceWeights(np.full(num_draws, -np.log(num_draws)), float("inf"), 0.0, (problem,), is_sound)


def _normalised(log_ratios: np.ndarray) -> np.ndarray:
    shifted = log_ratios - log_ratios.max()
    return shifted - np.log(np.exp(shifted).sum())


def _effective_sample_size(log_weights: np.ndarray) -> float:
    size = 1.0 / np.exp(2.0 * log_weights).sum()
    return min(float(size), float(log_weights.size))  # rounding may exceed the bound


def _vector(log_ratios: np.ndarray) -> np.ndarray:
    ratios = np.asarray(log_ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size == 0:
        raise ValueError(
            f"log_ratios must have shape (draw,) with at least one draw; got {ratios.shape}. "
            "For several datasets, call once per dataset."
        )
    return ratios
