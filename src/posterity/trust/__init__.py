"""May this answer be believed? Importance weights and the verdict on them."""

from posterity.trust.refine import Budget, Refinement, refine
from posterity.trust.verdict import Verdict, judge, judge_refined, min_ess, pareto_k_limit
from posterity.trust.weights import (
    MIN_DRAWS,
    ImportanceWeights,
    equal_weights,
    ess_fraction,
    pareto_smoothed,
    pareto_smoothed_many,
)

__all__ = [
    "MIN_DRAWS",
    "Budget",
    "ImportanceWeights",
    "Refinement",
    "Verdict",
    "equal_weights",
    "ess_fraction",
    "judge",
    "judge_refined",
    "min_ess",
    "pareto_k_limit",
    "pareto_smoothed",
    "pareto_smoothed_many",
    "refine",
]
