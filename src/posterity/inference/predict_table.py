"""Predictions for the rows of another table, in the units and with the labels of the first."""

import dataclasses
from typing import Any

import numpy as np

from posterity.results.data import PosteriorData
from posterity.results.predict import Predictions, predict, sample_observations
from posterity.runtime.errors import InputError
from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.read import as_frame

__all__ = ["predict_table", "sample_table"]


def predict_table(
    posterior: PosteriorData,
    recipe: AbstractRecipe,
    new_rows: Any,
    *,
    interval: float,
    seed: int,
    drop_missing: bool,
    source: str | None,
) -> Predictions:
    """What the target of a table's new rows will be.

    Args:
        posterior: Given the first table.
        recipe: How the dataset was made of it.
        new_rows: A frame or a file with its covariates.
        interval: Probability between the bounds.
        seed: Decides the noise of new observations.
        drop_missing: Rows with a missing cell get NaN instead of being refused.
        source: What messages call the new rows; their path if None.

    Raises:
        InputError: The new rows do not fit the table, or the model has nothing to predict from.
    """
    given = _given(posterior, recipe, new_rows, drop_missing, source)
    predicted = predict(posterior, given.values, interval=interval, seed=seed, argument=recipe.target_argument)
    numbers = {
        name: recipe.predictions_to_table(getattr(predicted, name), given)
        for name in ("mean", "median", "lower", "upper")
    }
    classes = recipe.class_labels(len(predicted.classes)) if predicted.classes else ()
    return dataclasses.replace(predicted, target=recipe.target or predicted.target, classes=classes, **numbers)


def sample_table(
    posterior: PosteriorData,
    recipe: AbstractRecipe,
    new_rows: Any,
    num_samples: int,
    *,
    seed: int,
    drop_missing: bool,
    source: str | None,
) -> np.ndarray:
    """New observations of a table's new rows, shape `(sample, row, ...)`, in its units; see `sample_observations`."""
    given = _given(posterior, recipe, new_rows, drop_missing, source)
    drawn = sample_observations(posterior, given.values, num_samples, seed=seed, argument=recipe.target_argument)
    return np.moveaxis(recipe.predictions_to_table(np.moveaxis(drawn, 0, -1), given), -1, 0)


def _given(
    posterior: PosteriorData, recipe: AbstractRecipe, new_rows: Any, drop_missing: bool, source: str | None
) -> TableData:
    frame, source = as_frame(new_rows, source, default="new rows", text_columns=recipe.text_columns)
    if recipe.target_argument is None:
        raise InputError(f"{source}: '{posterior.model.name}' has no target, so there is nothing to predict")
    return recipe.new_rows(frame, drop_missing=drop_missing, source=source)
