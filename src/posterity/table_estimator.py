"""Which estimator answers a table, and the table as its dataset."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from posterity.checks import InputError
from posterity.estimator import Estimator, load
from posterity.estimators import find_estimator
from posterity.identity import describe_model
from posterity.models import MODELS, BuiltinModel
from posterity.problem import Argument, Problem
from posterity.table_example import arguments_of_model
from posterity.tables import Recipe, TableData
from posterity.zero_shot import informed_estimator, is_informed

__all__ = [
    "builtin_entry",
    "estimator_and_dataset",
    "resolve",
    "wants_standardized",
]

Which = Estimator | str | Path | Callable[..., Any]


def estimator_and_dataset(
    which: Which,
    frame: pl.DataFrame,
    *,
    model: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
    standardize: bool | None,
    target: str | None,
    source: str,
    **how: Any,
) -> tuple[Estimator, Recipe, TableData]:
    """What answers a table, and the table as it takes it.

    Args:
        which: An estimator, the directory of one, or a model, as `posterity.infer` takes it.
        frame: The table.
        model: The NumPyro model, where a directory's estimator was trained for the user's own.
        options: Options of a built-in model that is answered without training.
        standardize: Z-score real columns; if None, for the models that are defined on z-scores.
        target: As in `Recipe.fit`.
        source: As in `Recipe.fit`.
        **how: Of `Recipe.fit`.

    Raises:
        InputError: The table does not suit the model, or the estimator cannot be loaded.
    """

    def fit(arguments: tuple[Argument, ...], scaled: bool) -> tuple[Recipe, TableData]:
        standardized = scaled if standardize is None else standardize
        return Recipe.fit(frame, arguments, target=target, standardized=standardized, source=source, **how)

    fitted: tuple[Recipe, TableData] | None = None

    def informed(which: str | Callable[..., Any]) -> Estimator:
        nonlocal fitted
        if isinstance(which, str):
            entry = MODELS[which]
            arguments = entry.problem(columns=(1, 2), check=False, **(options or {})).arguments
            scaled = entry.standardized
        else:
            arguments, scaled = arguments_of_model(which, frame, target=target, source=source), False
        fitted = fit(arguments, scaled)
        example = {a.name: fitted[1].values[a.name].astype(a.dtype) for a in arguments}
        return informed_estimator(which, example, **(options or {}))

    trained = resolve(which, model, options, informed)
    recipe, data = fitted or fit(trained.problem.arguments, wants_standardized(trained.problem))
    return trained, recipe, data


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
    return which if isinstance(which, Estimator) else load(find_estimator(name or ""), model)


def builtin_entry(problem: Problem) -> BuiltinModel | None:
    """The entry of a built-in model; None for a model of the user's own."""
    return MODELS.get(describe_model(problem.model).get("builtin", ""))


def wants_standardized(problem: Problem) -> bool:
    """Whether the model is a built-in one that is defined on z-scored columns."""
    entry = builtin_entry(problem)
    return entry is not None and entry.standardized
