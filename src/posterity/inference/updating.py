"""New rows for a posterior that is there: read as the rows were that it was made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.model.intake import read_arrays
from posterity.results.data import PosteriorData
from posterity.runtime.errors import InputError
from posterity.tables.read import as_frame

__all__ = ["rows_to_add"]


def rows_to_add(
    posterior: PosteriorData, new_data: Any, *, drop_missing: bool, source: str | None
) -> tuple[dict[str, np.ndarray], int]:
    """New rows as arrays of the model's arguments, and how many were left out.

    Args:
        posterior: Of the rows so far.
        new_data: A table where the dataset was one, else a dict of arrays.
        drop_missing: Leave out rows of a table with a missing cell.
        source: What messages call the table.

    Raises:
        InputError: They do not fit the dataset, or nothing can be added to it.
    """
    model, recipe = posterior.model, posterior.recipe
    model.require_rows("update")
    if model.groups:
        plates = ", ".join(group.plate for group in model.groups)
        raise InputError(
            f"update: '{model.name}' numbers its {plates} by the dataset; infer from old and new rows together"
        )
    if recipe is None:
        if not isinstance(new_data, Mapping):
            raise InputError("update: the dataset was given as arrays; give the new rows as a dict of arrays, too")
        arrays, dropped = read_arrays(model, new_data), 0
    else:
        if isinstance(new_data, Mapping):
            raise InputError("update: the dataset was a table; give the new rows as a table with the same columns")
        frame, source = as_frame(new_data, source, default="new rows", text_columns=recipe.text_columns)
        table = recipe.transform(frame, drop_missing=drop_missing, source=source)
        arrays, dropped = read_arrays(model, table.values), table.dropped_rows
    for name, seen in posterior.data.items():
        if arrays[name].shape[1:] != seen.shape[1:]:
            raise InputError(
                f"update: '{name}' of the new rows has shape {arrays[name].shape}; expected (rows, "
                f"{', '.join(map(str, seen.shape[1:]))}), as in the dataset"
            )
    return arrays, dropped
