"""`posterity.infer`: a model or an estimator, and data of any kind; a posterior, or one for each group of rows."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from posterity.estimator.artifact import find_artifact
from posterity.estimator.estimator import Estimator, load
from posterity.estimator.formula import as_columns, from_formula
from posterity.estimator.informed import informed, is_informed
from posterity.estimator.signature import arguments_of_model
from posterity.inference.posterior import Posterior
from posterity.inference.posteriors import Posteriors
from posterity.model.arguments import Argument
from posterity.model.builtin import MODELS, builtin_entry
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.formula import names_formula, parse_formula
from posterity.tables.groups import members, split_groups
from posterity.tables.read import as_frame
from posterity.tables.recipe import Recipe

__all__ = ["TableQuestion", "infer", "open_table"]

Which = Estimator | str | Path | Callable[..., Any]


def infer(
    model: Which,
    data: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    refine_seconds: float = REFINE_SECONDS,
    standardize: bool | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    family: str | None = None,
    priors: Mapping[str, str] | None = None,
    trials: str | None = None,
    weights: str | None = None,
    trained_model: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Posterior | Posteriors:
    """Checked posterior of one dataset; or of each group of a table's rows, by itself.

    Args:
        model: The name of a built-in model, a NumPyro model of your own, or a formula such as
            `y ~ x + (1 + x | school)`, answered by the informed posterior without training; or an estimator, or the
            directory of one.
        data: A dict of arrays as the model takes them, with plain numbers, and words that name groups; or a table: a
            CSV or Parquet file, or a frame of Polars, pandas, Arrow or any other library that narwhals knows.
        target: Column of a table that the model's observed vector takes; the other columns form its matrix.
        group: Column of a table whose values tell its datasets apart; the model does not see it. Z-scores, categories
            and classes are those of the whole table, so that the latents of all groups are in one unit.
        num_draws: Draws of q for each dataset.
        seed: The same seed gives the same draws.
        refine_seconds: Time for each answer, all included: reading the model, compilation, sampling from q on where its
            weights are unhealthy. Once it is over, the best answer so far is returned, with the reason. Draws of q are
            always made; 0 for these alone.
        standardize: Z-score real columns (and a real target). If None, built-in models that are defined on z-scores
            get them, and other models get columns as they are.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
        family: Of the response of a formula; `normal` if None. For this and the next three see `from_formula`.
        priors: Of a formula's latents.
        trials: Of the rows of a formula's binomial response.
        weights: Of the rows of a formula.
        trained_model: The NumPyro model, where a directory's estimator was trained for the user's own.
        options: Options of a built-in model that is answered without training.
        source: What messages call the table; its path if None.
        on_progress: Called with the number of finished groups and that of all.

    Returns:
        A `Posterior`; with `group`, `Posteriors` by name.

    Raises:
        InputError: The data do not suit the model, or the estimator cannot be loaded.
    """
    started = time.perf_counter()
    formula_settings: dict[str, Any] = {"family": family, "priors": priors, "trials": trials, "weights": weights}
    is_formula = isinstance(model, str) and names_formula(model)
    if isinstance(data, Mapping) and data and not is_formula:
        _refuse_formula_options(formula_settings)
        _refuse_table_options(
            target=target, group=group, standardize=standardize, categorical=categorical, drop_missing=drop_missing
        )
        estimator = resolve(model, trained_model, options, lambda which: informed(which, data, **(options or {})))
        return estimator.infer(data, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds, started=started)
    question = open_table(
        model,
        data,
        target=target,
        group=group,
        standardize=standardize,
        categorical=categorical,
        drop_missing=drop_missing,
        trained_model=trained_model,
        options=options,
        source=source,
        **formula_settings,
    )
    found = question.posteriors(
        num_draws=num_draws,
        seed=seed,
        refine_seconds=refine_seconds,
        started=started,
        on_progress=lambda done: on_progress(done, len(question.datasets)),
    )
    if group is not None:
        return Posteriors(found)
    (posterior,) = found
    if posterior.verdict == "unanswered":
        raise InputError(posterior.reasons[0])
    return posterior


class TableQuestion(NamedTuple):
    """A table that has been read, and what will answer it.

    Attributes:
        estimator: What answers.
        recipe: How the table became datasets.
        table: The whole table as the model sees it.
        datasets: Name of a group -> its dataset; None -> the whole table, where there are no groups.
    """

    estimator: Estimator
    recipe: AbstractRecipe
    table: TableData
    datasets: Mapping[str | None, Mapping[str, np.ndarray]]

    def posteriors(self, **settings: Any) -> Iterator[Posterior]:
        """Checked posteriors, one after the other; `settings` are those of `Estimator.infer_table`."""
        return self.estimator.infer_table(self.recipe, self.datasets, dropped_rows=self.table.dropped_rows, **settings)


def open_table(
    model: Which,
    data: Any,
    *,
    target: str | None = None,
    group: str | None = None,
    standardize: bool | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    family: str | None = None,
    priors: Mapping[str, str] | None = None,
    trials: str | None = None,
    weights: str | None = None,
    trained_model: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> TableQuestion:
    """Reads a table once, and finds or makes what answers it; arguments are those of `infer`.

    Raises:
        InputError: The table does not suit the model, there is no such column, or the estimator cannot be loaded.
    """
    formula_settings: dict[str, Any] = {"family": family, "priors": priors, "trials": trials, "weights": weights}
    if isinstance(model, str) and names_formula(model):
        not_for_formulas = {"target": target, "standardize": standardize, "model": trained_model, "options": options}
        _refuse_for_formula(not_for_formulas)
        return _open_formula(model, data, group, categorical, drop_missing, source, formula_settings)
    _refuse_formula_options(formula_settings)
    text_columns = (*categorical, *([] if group is None else [group]))
    frame, source = as_frame(data, source, text_columns=text_columns)
    groups = None
    if group is not None:
        groups = split_groups(frame, group, others=(target, *categorical), drop_missing=drop_missing, source=source)
        frame = frame.drop(group)

    def fit(arguments: tuple[Argument, ...], scaled: bool) -> tuple[Recipe, TableData]:
        return Recipe.fit(
            frame,
            arguments,
            target=target,
            standardized=scaled if standardize is None else standardize,
            categorical=categorical,
            drop_missing=drop_missing,
            groups=groups,
            source=source,
        )

    fitted: tuple[Recipe, TableData] | None = None

    def make(which: str | Callable[..., Any]) -> Estimator:
        nonlocal fitted
        arguments, scaled = _arguments(which, frame, target, options, source)
        fitted = fit(arguments, scaled)
        example = {a.name: fitted[1].values[a.name].astype(a.dtype) for a in arguments}
        return informed(which, example, **(options or {}))

    estimator = resolve(model, trained_model, options, make)
    entry = builtin_entry(estimator.model.function)
    recipe, table = fitted or fit(estimator.model.arguments, entry is not None and entry.standardized)
    return TableQuestion(estimator, recipe, table, _datasets(table, groups))


def _open_formula(
    formula: str,
    data: Any,
    group: str | None,
    categorical: Collection[str],
    drop_missing: bool,
    source: str | None,
    settings: Mapping[str, Any],
) -> TableQuestion:
    """A table as a formula takes it, and the informed estimator of its program."""
    parsed = parse_formula(formula)
    text_columns = (*categorical, *parsed.factors, *([] if group is None else [group]))
    frame, source = as_frame(as_columns(data), source, text_columns=text_columns)
    groups = None
    if group is not None:
        others = (*categorical, *parsed.columns)
        groups = split_groups(frame, group, others=others, drop_missing=drop_missing, source=source)
        frame = frame.drop(group)
    made = from_formula(
        formula,
        frame,
        categorical=categorical,
        drop_missing=drop_missing,
        groups=groups,
        source=source,
        **{name: value for name, value in settings.items() if value is not None},
    )
    return TableQuestion(informed(made.model, made.data), made.recipe, made.table, _datasets(made.table, groups))


def _datasets(
    table: TableData, groups: Mapping[str, np.ndarray] | None
) -> Mapping[str | None, Mapping[str, np.ndarray]]:
    """Name of a group -> its rows; None -> the whole table, where there are no groups."""
    if groups is None:
        return {None: table.values}
    found = members(groups, table.rows)
    return {name: {a: values[rows] for a, values in table.values.items()} for name, rows in found.items()}


def _refuse_formula_options(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"infer: '{name}' is for formulas such as 'y ~ x + (1 | school)'; this model has its own")


def _refuse_for_formula(given: Mapping[str, Any]) -> None:
    cures = {"target": "the response stands left of its ~", "standardize": "its program is always z-scored"}
    for name, value in given.items():
        if value:
            raise InputError(f"infer: '{name}' is not for formulas: {cures.get(name, 'a formula is the whole model')}")


def _arguments(
    which: str | Callable[..., Any],
    frame: pl.DataFrame,
    target: str | None,
    options: Mapping[str, Any] | None,
    source: str,
) -> tuple[tuple[Argument, ...], bool]:
    """Arguments of a model that will be informed, and whether it is defined on z-scores."""
    if isinstance(which, str):
        return MODELS[which].read(2, **(options or {})).arguments, MODELS[which].standardized
    return arguments_of_model(which, frame, target=target, source=source), False


def resolve(
    which: Which,
    trained_model: Callable[..., Any] | None,
    options: Mapping[str, Any] | None,
    make: Callable[[str | Callable[..., Any]], Estimator],
) -> Estimator:
    """The estimator itself, one from disk, or an informed one for a model.

    Args:
        which: Any of them, as `infer` takes it.
        trained_model: The NumPyro model of an estimator on disk that was trained for the user's own.
        options: Options of a built-in model that is answered without training.
        make: Makes the informed estimator of a model.

    Raises:
        InputError: There is no such estimator, or the arguments contradict each other.
    """
    name = os.fspath(which) if isinstance(which, (str, os.PathLike)) else None
    if name is not None and is_informed(name):
        if trained_model is not None:
            raise InputError(f"infer: '{name}' is a model already; leave --model out")
        return make(name)
    if name is None and not isinstance(which, Estimator):
        return make(which)  # pyright: ignore[reportArgumentType]
    if options:
        raise InputError(
            f"infer: option '{next(iter(options))}' belongs to a built-in model that is answered without training; a "
            "trained estimator has the options that it was trained with"
        )
    return which if isinstance(which, Estimator) else load(find_artifact(name or ""), trained_model)


def _refuse_table_options(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != ():
            raise InputError(f"infer: '{name}' says how to read a table; a dict of arrays is taken as it is")
