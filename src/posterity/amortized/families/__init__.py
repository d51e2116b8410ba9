"""Posterior families: embedding of a dataset -> q(z | D).

A new family is one file and one line in `FAMILIES`.
"""

from posterity.amortized.families.base import AbstractFamily, AbstractPosterior, AbstractTransport
from posterity.amortized.families.diagonal import DiagonalFamily, DiagonalGaussian
from posterity.amortized.families.flow import Flow, FlowFamily
from posterity.amortized.families.full import FullFamily, FullGaussian
from posterity.amortized.families.precision import PrecisionFamily, PrecisionGaussian
from posterity.amortized.families.standardized import StandardizedFamily, StandardizedPosterior

__all__ = [
    "FAMILIES",
    "AbstractFamily",
    "AbstractPosterior",
    "AbstractTransport",
    "DiagonalFamily",
    "DiagonalGaussian",
    "Flow",
    "FlowFamily",
    "FullFamily",
    "FullGaussian",
    "PrecisionFamily",
    "PrecisionGaussian",
    "StandardizedFamily",
    "StandardizedPosterior",
]

FAMILIES: dict[str, type[AbstractFamily]] = {
    "diagonal": DiagonalFamily,
    "flow": FlowFamily,
    "full": FullFamily,
    "precision": PrecisionFamily,
}
