"""Formulas as NumPyro programs: families of responses, priors, and the text of the program."""

from posterity.model.formula.defaults import priors_of
from posterity.model.formula.families import RESPONSE_FAMILIES
from posterity.model.formula.family import ResponseFamily
from posterity.model.formula.program import EffectsLayout, Layout, run_program, write_program

__all__ = [
    "RESPONSE_FAMILIES",
    "EffectsLayout",
    "Layout",
    "ResponseFamily",
    "priors_of",
    "run_program",
    "write_program",
]
