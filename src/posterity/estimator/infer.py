"""From a table to an answer, with units on return."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.estimator.estimator import Estimator
from posterity.estimator.informed import informed_estimator
from posterity.estimator.resolve import TableReading, builtin_entry, estimator_and_dataset, read_frame, resolve
from posterity.results.data import Answer
from posterity.results.predict import Predictions
from posterity.results.summary import Summary, summarise
from posterity.model.problem import Problem
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.tables import Preparation, regression_original_units
from posterity.tables.dataset import TableDataset

__all__ = ["TableAnswer", "in_original_units", "infer"]


@dataclasses.dataclass(frozen=True, eq=False)
class TableAnswer:
    """Answer to a table, with the table as the model saw it.

    Attributes:
        answer: Draws, weights and verdict, on the scale that the model is defined on.
        data: The dataset.
        original_units: Summary of the same latents in the user's units; None where they are the same or where
            no conversion is known.
        problem: The model.
    """

    answer: Answer
    data: TableDataset
    original_units: Summary | None
    problem: Problem

    def predict(
        self,
        new_rows: pl.DataFrame | str | Path | Mapping[str, Any],
        *,
        interval: float = 0.9,
        seed: int = 0,
        drop_missing: bool = False,
        source: str | None = None,
    ) -> Predictions:
        """What the target of new rows will be, in the units of the table.

        Args:
            new_rows: A Polars frame or a file with the covariates of the table; or a dict of arrays, where the dataset
                was one. The target may be there; it is not read.
            interval: Probability between the bounds that are given.
            seed: Decides the noise of new observations.
            drop_missing: Rows with a missing cell get NaN instead of being refused.
            source: What messages call the new rows; their path if None.

        Raises:
            InputError: The new rows do not fit the table, or the model has nothing to predict from.
        """
        preparation = self.data.preparation
        if preparation is None:
            if not isinstance(new_rows, Mapping):
                raise InputError("predict: the dataset was given as arrays; give the new rows as a dict of arrays, too")
            return self.answer.predict(new_rows, interval=interval, seed=seed)
        if isinstance(new_rows, Mapping):
            raise InputError("predict: the dataset was a table; give the new rows as a table with the same columns")
        frame, source = read_frame(new_rows, source, default="new rows")
        if preparation.plan.target_argument is None:
            raise InputError(f"{source}: '{self.problem.name}' has no target, so there is nothing to predict")
        values, complete = preparation.new_rows(frame, drop_missing=drop_missing, source=source)
        predicted = self.answer.predict(values, interval=interval, seed=seed, argument=preparation.plan.target_argument)
        return _in_table(predicted, preparation, complete)


def infer(
    estimator: Estimator | str | Path | Callable[..., Any],
    table: pl.DataFrame | str | Path | Mapping[str, Any],
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
        table: A Polars frame, a CSV or Parquet file, or a dict of arrays as the model takes them.
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
    if isinstance(table, Mapping):
        _refuse_table_options(
            target=target, standardize=standardize, categorical=categorical, drop_missing=drop_missing
        )
        trained = resolve(estimator, model, options, lambda which: informed_estimator(which, table, **(options or {})))
        answer = trained.infer(table, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
        return TableAnswer(answer, TableDataset(dict(table), {}, None, (), None, 0, ()), None, trained.problem)
    frame, source = read_frame(table, source)
    how = TableReading(target, standardize, tuple(categorical), drop_missing, source)
    trained, data = estimator_and_dataset(estimator, frame, how, model=model, options=options)
    answer = trained.infer(
        data.values, num_draws=num_draws, seed=seed, columns=data.columns, refine_seconds=refine_seconds
    )
    return TableAnswer(answer, data, in_original_units(trained.problem, data, answer), trained.problem)


def _refuse_table_options(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise InputError(f"infer: '{name}' says how to read a table; a dict of arrays is taken as it is")


def _in_table(predicted: Predictions, preparation: Preparation, complete: np.ndarray) -> Predictions:
    """Predictions in the units and with the labels of the table, one for every new row, complete or not."""
    scaling = preparation.scaling
    loc, scale = (0.0, 1.0) if scaling is None or predicted.classes else (scaling.target_mean, scaling.target_sd)

    def among_all(values: np.ndarray) -> np.ndarray:
        spread = np.full((len(complete), *values.shape[1:]), np.nan)
        spread[complete] = loc + scale * values
        return spread

    # A model may have more classes than the table that it was given.
    known = preparation.classes
    classes = tuple(known[c] if c < len(known) else f"class {c}" for c in range(len(predicted.classes)))
    numbers = {name: among_all(getattr(predicted, name)) for name in ("mean", "median", "lower", "upper")}
    target = preparation.plan.target or predicted.target
    return dataclasses.replace(predicted, target=target, classes=classes, **numbers)


def in_original_units(problem: Problem, data: TableDataset, answer: Answer) -> Summary | None:
    """Summary of an answer's latents in the user's units; None where they are the same or no conversion is known."""
    entry = builtin_entry(problem)
    if entry is None or not entry.linear or data.scaling is None:
        return None
    draws = regression_original_units(data.scaling, answer.draws)
    return summarise(draws, answer.labels, answer.trusted_log_weights)
