"""A user's table: a file in, numbers out; z-scores, and the way back to the user's units."""

from posterity.tables.assign import ColumnPlan, assign_columns, plan_columns
from posterity.tables.columns import NumericTable, numeric_table
from posterity.tables.preparation import Preparation
from posterity.tables.read import read_table
from posterity.tables.scaling import Scaling, regression_original_units, standardize

__all__ = [
    "ColumnPlan",
    "NumericTable",
    "Preparation",
    "Scaling",
    "assign_columns",
    "numeric_table",
    "plan_columns",
    "read_table",
    "regression_original_units",
    "standardize",
]
