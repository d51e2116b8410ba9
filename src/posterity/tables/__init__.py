"""A user's table: frames and files in, a model's dataset out, and the way back to the user's units."""

from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.assign import TableArgument
from posterity.tables.groups import members, split_groups
from posterity.tables.read import as_frame, read_table, without_columns
from posterity.tables.recipe import Recipe
from posterity.tables.scaling import Scaling, location_and_scale, regression_original_units

__all__ = [
    "AbstractRecipe",
    "Recipe",
    "Scaling",
    "TableArgument",
    "TableData",
    "as_frame",
    "location_and_scale",
    "members",
    "read_table",
    "regression_original_units",
    "split_groups",
    "without_columns",
]
