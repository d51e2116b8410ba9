"""Which estimator answers a table, and the table as its dataset."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from posterity.estimator.artifact import find_artifact
from posterity.estimator.estimator import Estimator, load
from posterity.estimator.informed import informed_estimator, is_informed
from posterity.estimator.signature import arguments_of_model
from posterity.model.arguments import Argument
from posterity.model.builtin import MODELS, BuiltinModel
from posterity.model.identity import describe_model
from posterity.model.problem import Problem
from posterity.runtime.errors import InputError
from posterity.tables import read_table
from posterity.tables.dataset import TableDataset, dataset_of_table

__all__ = [
    "TableReading",
    "builtin_entry",
    "estimator_and_dataset",
    "read_frame",
    "resolve",
    "wants_standardized",
]

Which = Estimator | str | Path | Callable[..., Any]


class TableReading(NamedTuple):
    """How to make a dataset of a table.

    Attributes:
        target: Column that the model's observed vector takes.
        standardize: Z-score real columns; if None, for the models that are defined on z-scores.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
        source: What messages call the table.
    """

    target: str | None
    standardize: bool | None
    categorical: tuple[str, ...]
    drop_missing: bool
    source: str

    def dataset(self, arguments: tuple[Argument, ...], frame: pl.DataFrame, *, standardized: bool) -> TableDataset:
        """The table as numbers for a model's arguments.

        Args:
            arguments: The model's.
            frame: The table.
            standardized: Whether the model is defined on z-scores.

        Raises:
            InputError: The table does not suit the model.
        """
        return dataset_of_table(
            arguments,
            frame,
            target=self.target,
            standardized=standardized if self.standardize is None else self.standardize,
            categorical=self.categorical,
            drop_missing=self.drop_missing,
            source=self.source,
        )


def read_frame(
    table: pl.DataFrame | str | Path, source: str | None, *, default: str = "table"
) -> tuple[pl.DataFrame, str]:
    """A table and what messages call it.

    Args:
        table: A frame, or the path of a file.
        source: What to call it; its path if None.
        default: What to call a frame.

    Raises:
        InputError: The file cannot be read.
    """
    if isinstance(table, pl.DataFrame):
        return table, source or default
    return read_table(table), source or os.fspath(table)


def estimator_and_dataset(
    which: Which,
    frame: pl.DataFrame,
    how: TableReading,
    *,
    model: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
) -> tuple[Estimator, TableDataset]:
    """What answers a table, and the table as it takes it.

    Args:
        which: An estimator, the directory of one, or a model, as `posterity.infer` takes it.
        frame: The table.
        how: How to read it.
        model: The NumPyro model, where a directory's estimator was trained for the user's own.
        options: Options of a built-in model that is answered without training.

    Raises:
        InputError: The table does not suit the model, or the estimator cannot be loaded.
    """

    def informed(which: str | Callable[..., Any]) -> Estimator:
        if isinstance(which, str):
            arguments, scaled = MODELS[which].problem(columns=(1, 2), check=False).arguments, MODELS[which].standardized
        else:
            arguments, scaled = arguments_of_model(which, frame, target=how.target, source=how.source), False
        values = how.dataset(arguments, frame, standardized=scaled).values
        example = {a.name: values[a.name].astype(a.dtype) for a in arguments}
        return informed_estimator(which, example, **(options or {}))

    trained = resolve(which, model, options, informed)
    problem = trained.problem
    return trained, how.dataset(problem.arguments, frame, standardized=wants_standardized(problem))


def resolve(
    which: Which,
    model: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
    informed: Callable[[str | Callable[..., Any]], Estimator],
) -> Estimator:
    """The estimator itself, one from disk, or an informed one for a model.

    Args:
        which: Any of them, as `posterity.infer` takes it.
        model: The NumPyro model of an estimator on disk that was trained for the user's own.
        options: Options of a built-in model that is answered without training.
        informed: Makes the informed estimator of a model.

    Raises:
        InputError: There is no such estimator, or the arguments contradict each other.
    """
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
    return which if isinstance(which, Estimator) else load(find_artifact(name or ""), model)


def builtin_entry(problem: Problem) -> BuiltinModel | None:
    """The entry of a built-in model; None for a model of the user's own."""
    return MODELS.get(describe_model(problem.model).get("builtin", ""))


def wants_standardized(problem: Problem) -> bool:
    """Whether the model is a built-in one that is defined on z-scored columns."""
    entry = builtin_entry(problem)
    return entry is not None and entry.standardized
