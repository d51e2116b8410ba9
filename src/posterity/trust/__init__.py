"""May this answer be believed? Importance weights and the verdict on them."""

from posterity.trust.ladder import Climbed, climb
from posterity.trust.refinement import Budget, Refinement
from posterity.trust.verdict import Verdict, judge, judge_refined, min_ess, pareto_k_limit
from posterity.trust.weights import (
    MIN_DRAWS,
    ImportanceWeights,
    equal_weights,
    ess_fraction,
    pareto_smoothed,
    pareto_smoothed_many,
    unusable_weights,
)

__all__ = [
    "MIN_DRAWS",
    "Budget",
    "Climbed",
    "ImportanceWeights",
    "Refinement",
    "Verdict",
    "climb",
    "equal_weights",
    "ess_fraction",
    "judge",
    "judge_refined",
    "min_ess",
    "pareto_k_limit",
    "pareto_smoothed",
    "pareto_smoothed_many",
    "unusable_weights",
]
