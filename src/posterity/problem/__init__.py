"""Problem: from a NumPyro model to densities, simulators and bijectors."""

from posterity.problem.arguments import Argument
from posterity.problem.build import build_problem
from posterity.problem.covariates import COVARIATE_LAWS, ResampledRows, StandardNormal, TableLike
from posterity.problem.envelope import Envelope
from posterity.problem.problem import Problem

__all__ = [
    "COVARIATE_LAWS",
    "Argument",
    "Envelope",
    "Problem",
    "ResampledRows",
    "StandardNormal",
    "TableLike",
    "build_problem",
]
