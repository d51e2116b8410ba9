"""Posterior families: embedding of a dataset -> q(z | D).

A new family is one file and one line in `FAMILIES`.
"""

from posterity.posteriors.base import AbstractFamily, AbstractPosterior, AbstractTransport
from posterity.posteriors.diagonal import DiagonalFamily, DiagonalGaussian
from posterity.posteriors.flow import Flow, FlowFamily
from posterity.posteriors.full import FullFamily, FullGaussian
from posterity.posteriors.precision import PrecisionFamily, PrecisionGaussian
from posterity.posteriors.standardized import StandardizedFamily, StandardizedPosterior

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
