"""May this answer be believed? Importance weights and the verdict on them."""

from posterity.trust.verdict import Verdict, judge, min_ess, pareto_k_limit
from posterity.trust.weights import MIN_DRAWS, ImportanceWeights, ess_fraction, pareto_smoothed

__all__ = [
    "MIN_DRAWS",
    "ImportanceWeights",
    "Verdict",
    "ess_fraction",
    "judge",
    "min_ess",
    "pareto_k_limit",
    "pareto_smoothed",
]
