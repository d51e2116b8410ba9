"""Formulas in the notation of lme4: a table and a formula in, the dataset of a program out, and the way back."""

from posterity.tables.formula.family import FormulaFamily
from posterity.tables.formula.parse import Formula, names_formula, parse_formula
from posterity.tables.formula.recipe import FormulaRecipe

__all__ = ["Formula", "FormulaFamily", "FormulaRecipe", "names_formula", "parse_formula"]
