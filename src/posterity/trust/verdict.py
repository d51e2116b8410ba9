"""The verdict on one answer, and the reasons for it in plain sentences."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from posterity.trust.pareto import num_tail
from posterity.trust.refinement import Refinement
from posterity.trust.weights import ImportanceWeights

__all__ = [
    "FEWEST_DRAWS",
    "Verdict",
    "are_settled",
    "is_near",
    "is_settled",
    "judge",
    "judge_refined",
    "min_ess",
    "pareto_k_limit",
]

LEAST_ESS = 400.0  # what ArviZ asks of four chains, and we of those that refine
FEWEST_DRAWS = 1000
FURTHER = 4.0
EVEN, LIGHTEST = 0.5, 0.005  # share of effective draws, and of the total that the largest weight has, in a light tail

Verdict = Literal["corrected", "refined", "untrusted", "unanswered"]
"""How far to trust a posterior; `unanswered` where a dataset could not be read at all."""


def judge(weights: ImportanceWeights, envelope_reasons: Sequence[str] = ()) -> tuple[Verdict, tuple[str, ...]]:
    """Whether reweighting may be relied on, from k-hat and the effective sample size.

    Both are blind to a mode of the posterior in which q has no draws. Data outside the training envelope is
    named but does not decide: healthy weights correct a q that was asked beyond its training.

    Args:
        weights: Smoothed weights of the draws.
        envelope_reasons: Sentences about data outside the training envelope; they close the list of reasons.

    Returns:
        `"corrected"` or `"untrusted"`, and the reasons. Without reasons the answer is corrected; with some it
        may be.
    """
    problems = weights.problems or (*_tail_problems(weights), *_ess_problems(weights))
    return "untrusted" if problems else "corrected", (*problems, *envelope_reasons)


def judge_refined(
    weights: ImportanceWeights, found: Refinement, envelope_reasons: Sequence[str] = ()
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict after sampling from q on.

    Args:
        weights: Of q's draws, unhealthy.
        found: What the chains came to.
        envelope_reasons: Sentences about data outside the training envelope.

    Returns:
        `"refined"` or `"untrusted"`, and the reasons: those against the weights first.
    """
    against = judge(weights)[1]
    if found.problems:
        return "untrusted", (*against, *found.problems, *envelope_reasons)
    chains, draws = found.z.shape[:2]
    how = f"{chains} chains of {draws} steps" if found.sampler == "chains" else f"tempering, {chains} islands,"
    done = (
        f"Refined by {how} in {found.seconds:.1f} s: R-hat {found.max_r_hat:.3f}, effective sample size "
        f"{found.min_ess:.0f}."
    )
    return "refined", (*against, done, *envelope_reasons)


def pareto_k_limit(num_draws: int) -> float:
    """Largest k-hat at which `num_draws` draws still estimate means well: min(0.7, 1 - 1 / log10 S)."""
    return min(0.7, 1.0 - 1.0 / np.log10(num_draws)) if num_draws > 1 else -np.inf


def min_ess(num_draws: int) -> float:
    """Least effective sample size that we trust: a tenth of the draws, and 400.

    More draws do not make a distant q closer: with a share below that, k-hat passes posteriors that q misses by sds.
    Fewer than 1000 draws, of which no more than the share is asked, are judged in calibration, and weighed by `infer`
    only where there are so many latents that more do not fit into memory.
    """
    return num_draws / 10 if num_draws < FEWEST_DRAWS else max(num_draws / 10, LEAST_ESS)


def is_settled(weights: ImportanceWeights) -> bool:
    """Whether weights are healthy, and k-hat so by more than its standard error."""
    largest, num_draws = np.exp(weights.log_weights.max()), weights.log_weights.size
    return not weights.problems and bool(are_settled(weights.pareto_k, weights.ess, largest, num_draws))


def are_settled(pareto_k: Any, ess: Any, largest: Any, num_draws: int) -> Any:
    """`is_settled` of weights without problems, for numbers or arrays along datasets.

    Args:
        pareto_k: k-hat.
        ess: Effective sample size, in draws.
        largest: The largest weight, of a sum of 1.
        num_draws: Draws of each.
    """
    is_clear = pareto_k + _error_of_k(pareto_k, num_draws) <= pareto_k_limit(num_draws)
    is_clear |= _is_tail_light(ess, largest, num_draws)
    return is_clear & (ess >= min_ess(num_draws))


def is_near(weights: ImportanceWeights) -> bool:
    """Whether four times as many draws may make weights healthy, as far as those that there are can tell."""
    enough = FURTHER * weights.ess >= LEAST_ESS
    error = _error_of_k(weights.pareto_k, weights.log_weights.size)
    return enough and bool(weights.pareto_k - 2.0 * error <= pareto_k_limit(10**6))


def _is_tail_light(ess: Any, largest: Any, num_draws: int) -> Any:
    """Whether the tail weighs too little to matter, whatever its shape.

    The closer q is, the less the largest weights stand out of the others, and k-hat is the shape of what is left: 1 and
    more where a few of thousands of nearly equal weights are a few times as large.
    """
    return (ess >= EVEN * num_draws) & (largest <= LIGHTEST)


def _error_of_k(pareto_k: Any, num_draws: int) -> Any:
    """Standard error of k-hat: that of the maximum likelihood estimate of a Pareto tail's shape."""
    error = np.maximum(1.0 + pareto_k, 0.5) / np.sqrt(num_tail(num_draws))
    return np.where(np.isneginf(pareto_k), 0.0, error)


def _tail_problems(weights: ImportanceWeights) -> tuple[str, ...]:
    num_draws = weights.log_weights.size
    limit = pareto_k_limit(num_draws)
    if weights.pareto_k <= limit or _is_tail_light(weights.ess, np.exp(weights.log_weights.max()), num_draws):
        return ()
    digits = 2 if f"{weights.pareto_k:.2f}" != f"{limit:.2f}" else 4
    return (
        f"Pareto k-hat {weights.pareto_k:.{digits}f} exceeds {limit:.{digits}f} for {num_draws} draws: "
        "the largest weights are too few and too large to correct q.",
    )


def _ess_problems(weights: ImportanceWeights) -> tuple[str, ...]:
    num_draws = weights.log_weights.size
    least = min_ess(num_draws)
    if weights.ess >= least:
        return ()
    num_zero = int(np.isneginf(weights.log_weights).sum())
    zero = f", and {num_zero} draws have no posterior density" if num_zero else ""
    return (
        f"Effective sample size {weights.ess:.1f} of {num_draws} draws is below {least:g}: "
        f"q is too far from the posterior to be corrected{zero}.",
    )
