"""From a table to an answer: columns to arguments, z-scores where the model wants them, units on return."""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.checks import InputError
from posterity.estimator import REFINE_SECONDS, Estimator, load
from posterity.estimators import find_estimator
from posterity.identity import describe_model
from posterity.models import MODELS, BuiltinModel
from posterity.problem import Argument, Problem
from posterity.results import Answer, Predictions, Summary, summarise
from posterity.table_example import arguments_of_model
from posterity.tables import (
    ColumnPlan,
    NumericTable,
    Preparation,
    Scaling,
    assign_columns,
    numeric_table,
    plan_columns,
    read_table,
    regression_original_units,
    standardize,
)
from posterity.zero_shot import informed_estimator, is_informed

__all__ = ["TableAnswer", "TableDataset", "builtin_entry", "dataset_of_table", "infer", "wants_standardized"]


@dataclasses.dataclass(frozen=True, eq=False)
class TableDataset:
    """A table as a model's dataset.

    Attributes:
        values: Argument name -> array with rows first, z-scored where `scaling` is given.
        columns: Matrix argument -> names of its columns.
        scaling: How to undo the z-scores; None where columns are as they were.
        classes: Labels of the codes 0, 1, ... of a binary or class target.
        target: Column that feeds the observed vector.
        dropped_rows: Rows left out because a cell was missing.
        unused: Columns that no argument takes.
        preparation: What was learnt from the table, to be done to new rows alike; None where the dataset was given
            as arrays.
    """

    values: Mapping[str, np.ndarray]
    columns: Mapping[str, tuple[str, ...]]
    scaling: Scaling | None
    classes: tuple[str, ...]
    target: str | None
    dropped_rows: int
    unused: tuple[str, ...]
    preparation: Preparation | None = None


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
        frame = new_rows if isinstance(new_rows, pl.DataFrame) else read_table(new_rows)
        source = source or ("new rows" if isinstance(new_rows, pl.DataFrame) else os.fspath(new_rows))
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
    num_draws: int = 1000,
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
        trained = _resolve(estimator, model, options, lambda which: informed_estimator(which, table, **(options or {})))
        answer = trained.infer(table, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
        return TableAnswer(answer, TableDataset(dict(table), {}, None, (), None, 0, ()), None, trained.problem)
    frame = table if isinstance(table, pl.DataFrame) else read_table(table)
    source = source or ("table" if isinstance(table, pl.DataFrame) else os.fspath(table))

    def read(arguments: tuple[Argument, ...], standardized: bool) -> TableDataset:
        return dataset_of_table(
            arguments,
            frame,
            target=target,
            standardized=standardized if standardize is None else standardize,
            categorical=categorical,
            drop_missing=drop_missing,
            source=source,
        )

    def informed(which: str | Callable[..., Any]) -> Estimator:
        if isinstance(which, str):
            arguments, scaled = MODELS[which].problem(columns=(1, 2), check=False).arguments, MODELS[which].standardized
        else:
            arguments, scaled = arguments_of_model(which, frame, target=target, source=source), False
        values = read(arguments, scaled).values
        example = {a.name: values[a.name].astype(a.dtype) for a in arguments}
        return informed_estimator(which, example, **(options or {}))

    trained = _resolve(estimator, model, options, informed)
    data = read(trained.problem.arguments, wants_standardized(trained.problem))
    answer = trained.infer(
        data.values, num_draws=num_draws, seed=seed, columns=data.columns, refine_seconds=refine_seconds
    )
    return TableAnswer(answer, data, _original_units(trained.problem, data, answer), trained.problem)


def _resolve(
    which: Estimator | str | Path | Callable[..., Any],
    model: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
    informed: Callable[[str | Callable[..., Any]], Estimator],
) -> Estimator:
    """The estimator itself, one from disk, or an informed one for a model."""
    name = os.fspath(which) if isinstance(which, (str, os.PathLike)) else None
    if name is not None and is_informed(name):
        if model is not None:
            raise InputError(f"infer: '{name}' is a model already; leave --model out")
        return informed(name)
    if name is None and not isinstance(which, Estimator):
        return informed(which)  # pyright: ignore[reportArgumentType]
    if options:
        raise InputError(
            f"infer: option '{next(iter(options))}' belongs to a built-in model that is answered without training; a "
            "trained estimator has the options that it was trained with"
        )
    return which if isinstance(which, Estimator) else load(find_estimator(name or ""), model)


def _refuse_table_options(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise InputError(f"infer: '{name}' says how to read a table; a dict of arrays is taken as it is")


def dataset_of_table(
    arguments: tuple[Argument, ...],
    frame: pl.DataFrame,
    *,
    target: str | None,
    standardized: bool,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    source: str = "table",
) -> TableDataset:
    """Numbers for every argument of a model.

    Args:
        arguments: The model's arguments.
        frame: The table.
        target: Column that the observed vector takes.
        standardized: Z-score the columns of real arguments, a real target included.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
        source: The file's name, for messages.

    Raises:
        InputError: The table does not suit the model.
    """
    plan = plan_columns(arguments, frame.columns, target=target, categorical=categorical, source=source)
    _refuse_unused_categorical(plan, categorical, source)
    table = numeric_table(
        frame.select(plan.used),
        target=plan.target,
        target_kind=plan.target_kind,
        num_classes=plan.num_classes,
        categorical=categorical,
        drop_missing=drop_missing,
        needs_covariates=plan.matrix is not None,
        source=source,
    )
    scaling = None
    if standardized:
        columns = _real_columns(arguments, plan, table)
        table, scaling = standardize(table, scale_target=plan.target_kind == "real", columns=columns)
    values, columns = assign_columns(plan, table)
    preparation = Preparation(plan, table.names, table.levels, scaling, table.classes, source)
    return TableDataset(
        values, columns, scaling, table.classes, plan.target, table.dropped_rows, plan.unused, preparation
    )


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


def builtin_entry(problem: Problem) -> BuiltinModel | None:
    """The entry of a built-in model; None for a model of the user's own."""
    return MODELS.get(describe_model(problem.model).get("builtin", ""))


def wants_standardized(problem: Problem) -> bool:
    """Whether the model is a built-in one that is defined on z-scored columns."""
    entry = builtin_entry(problem)
    return entry is not None and entry.standardized


def _real_columns(arguments: tuple[Argument, ...], plan: ColumnPlan, table: NumericTable) -> tuple[str, ...]:
    """Columns that feed real arguments; codes and counts have no z-scores."""
    real = {argument.name for argument in arguments if argument.dtype == "float32"}
    return tuple(name for name in table.names if (name if name in plan.named else plan.matrix) in real)


def _refuse_unused_categorical(plan: ColumnPlan, categorical: Collection[str], source: str) -> None:
    for name in categorical:
        if name in plan.unused:
            raise InputError(f"{source}: --categorical '{name}': the model takes no such column. Leave it out.")


def _original_units(problem: Problem, data: TableDataset, answer: Answer) -> Summary | None:
    entry = builtin_entry(problem)
    if entry is None or not entry.linear or data.scaling is None:
        return None
    draws = regression_original_units(data.scaling, answer.draws)
    return summarise(draws, answer.labels, answer.trusted_log_weights)
