"""From a table to an answer, with units on return."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posterity.checks import InputError
from posterity.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.estimator import Estimator
from posterity.problem import Problem
from posterity.results import Answer, Predictions, Summary, summarise
from posterity.table_estimator import builtin_entry, estimator_and_dataset, resolve
from posterity.tables import Recipe, TableData, as_frame
from posterity.zero_shot import informed_estimator

__all__ = ["TableAnswer", "in_original_units", "infer"]


@dataclasses.dataclass(frozen=True, eq=False)
class TableAnswer:
    """Answer to a table, with the table as the model saw it.

    Attributes:
        answer: Draws, weights and verdict, on the scale that the model is defined on.
        data: The dataset.
        recipe: How the table became the dataset; None where it was given as arrays.
        original_units: Summary of the same latents in the user's units; None where they are the same or where
            no conversion is known.
        problem: The model.
    """

    answer: Answer
    data: TableData
    recipe: Recipe | None
    original_units: Summary | None
    problem: Problem

    def predict(
        self,
        new_rows: Any,
        *,
        interval: float = 0.9,
        seed: int = 0,
        drop_missing: bool = False,
        source: str | None = None,
    ) -> Predictions:
        """What the target of new rows will be, in the units of the table.

        Args:
            new_rows: A frame or a file with the covariates of the table, as `posterity.infer` takes them; or a dict of
                arrays, where the dataset was one. The target may be there; it is not read.
            interval: Probability between the bounds that are given.
            seed: Decides the noise of new observations.
            drop_missing: Rows with a missing cell get NaN instead of being refused.
            source: What messages call the new rows; their path if None.

        Raises:
            InputError: The new rows do not fit the table, or the model has nothing to predict from.
        """
        recipe = self.recipe
        if recipe is None:
            if not isinstance(new_rows, Mapping):
                raise InputError("predict: the dataset was given as arrays; give the new rows as a dict of arrays, too")
            return self.answer.predict(new_rows, interval=interval, seed=seed)
        if isinstance(new_rows, Mapping):
            raise InputError("predict: the dataset was a table; give the new rows as a table with the same columns")
        frame, source = as_frame(new_rows, source, text_columns=recipe.text_columns, default="new rows")
        if recipe.target_argument is None:
            raise InputError(f"{source}: '{self.problem.name}' has no target, so there is nothing to predict")
        rows = recipe.new_rows(frame, drop_missing=drop_missing, source=source)
        predicted = self.answer.predict(rows.values, interval=interval, seed=seed, argument=recipe.target_argument)
        return _in_table(predicted, recipe, rows)


def infer(
    estimator: Estimator | str | Path | Callable[..., Any],
    table: Any,
    *,
    target: str | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    standardize: bool | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    model: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
    refine_seconds: float = REFINE_SECONDS,
) -> TableAnswer:
    """Checked posterior of the one dataset in a table.

    Args:
        estimator: The estimator or the directory of one; or a model, which is then answered by the informed posterior
            without training: the name of a built-in one, or a NumPyro model of your own.
        table: A CSV or Parquet file; a frame of Polars, pandas, Arrow or any other library that narwhals knows; or a
            dict of arrays as the model takes them.
        target: Column that the model's observed vector takes; the other columns form its matrix.
        num_draws: Draws of q.
        seed: The same seed gives the same draws.
        standardize: Z-score real columns (and a real target). If None, built-in models that are defined on
            z-scores get them, and other models get columns as they are.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
        model: The NumPyro model, where a directory's estimator was trained for the user's own.
        options: Options of a built-in model that is answered without training.
        source: What messages call the table; its path if None.
        refine_seconds: Most time that sampling from q on may take where its weights are unhealthy; 0 for none.

    Raises:
        InputError: The table does not suit the model, or the estimator cannot be loaded.
    """
    if isinstance(table, Mapping) and table:
        _refuse_table_options(
            target=target, standardize=standardize, categorical=categorical, drop_missing=drop_missing
        )
        trained = resolve(estimator, model, options, lambda which: informed_estimator(which, table, **(options or {})))
        answer = trained.infer(table, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
        return TableAnswer(answer, TableData(dict(table), np.arange(0), 0), None, None, trained.problem)
    frame, source = as_frame(table, source, text_columns=categorical)
    trained, recipe, data = estimator_and_dataset(
        estimator,
        frame,
        model=model,
        options=options,
        standardize=standardize,
        target=target,
        categorical=categorical,
        drop_missing=drop_missing,
        source=source,
    )
    answer = trained.infer(
        data.values, num_draws=num_draws, seed=seed, columns=recipe.columns_of, refine_seconds=refine_seconds
    )
    return TableAnswer(answer, data, recipe, in_original_units(trained.problem, recipe, answer), trained.problem)


def _refuse_table_options(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise InputError(f"infer: '{name}' says how to read a table; a dict of arrays is taken as it is")


def _in_table(predicted: Predictions, recipe: Recipe, rows: TableData) -> Predictions:
    """Predictions in the units and with the labels of the table, one for every new row, complete or not."""
    numbers = {
        name: recipe.predictions_to_table(getattr(predicted, name), rows)
        for name in ("mean", "median", "lower", "upper")
    }
    target = recipe.target or predicted.target
    classes = recipe.class_labels(len(predicted.classes))
    return dataclasses.replace(predicted, target=target, classes=classes, **numbers)


def in_original_units(problem: Problem, recipe: Recipe, answer: Answer) -> Summary | None:
    """Summary of an answer's latents in the user's units; None where they are the same or no conversion is known."""
    entry = builtin_entry(problem)
    draws = recipe.to_table_units(answer.draws) if entry is not None and entry.linear else None
    return None if draws is None else summarise(draws, answer.labels, answer.trusted_log_weights)
