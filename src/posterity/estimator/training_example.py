"""What is to be learned: a model, sizes and covariates, as an example dataset or a table shows them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl

from posterity.estimator.signature import arguments_of_model
from posterity.model.arguments import Argument, example_arrays, model_name
from posterity.model.builtin import MODELS, BuiltinModel
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.covariates import COVARIATE_LAWS, CovariateLaw, ResampledRows
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import Simulator, build_simulator
from posterity.tables.read import as_frame
from posterity.tables.recipe import Recipe

__all__ = ["Reading", "training_simulator"]

Range = tuple[int, int]
MOST_USUAL_ROWS = 1024


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the table of `like` is to be read.

    Attributes:
        target: Column that the observed vector takes.
        standardize: Z-score it, as models on z-scored columns do anyway.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
    """

    target: str | None = None
    standardize: bool = False
    categorical: tuple[str, ...] = ()
    drop_missing: bool = False


def training_simulator(
    model: str | Callable[..., Any] | Simulator,
    like: Any,
    *,
    rows: Range | None,
    plates: Mapping[str, Range] | None,
    covariates: str | CovariateLaw | None,
    options: Mapping[str, Any] | None,
    reading: Reading,
) -> Simulator:
    """What simulates the model, checked: arguments before tables, and tables before models.

    Args:
        model: Name of a built-in model, a NumPyro model, or what simulates one.
        like: A dict of arrays, a table, or None.
        rows: Envelope of rows; the usual one, made wider to hold the example, if None.
        plates: Variable plate -> envelope. The columns of a built-in model are those of the example if it is not here.
        covariates: Name or value of a covariate law; the rows of the example where there is one, if None.
        options: Options of a built-in model.
        reading: How the table is read.

    Raises:
        InputError: The model, the table or the options cannot serve.
    """
    if isinstance(model, Simulator):
        given = {"like": like, "rows": rows, "plates": plates, "covariates": covariates, "options": options}
        _refuse({**given, **_fields(reading)}, "cannot be given with a Simulator, which settles it; leave it out")
        return model
    envelope = Envelope(rows or Envelope().rows, dict(plates or {}))
    if isinstance(covariates, str):
        lookup("covariate law", covariates, COVARIATE_LAWS)
    if isinstance(like, Mapping):
        _refuse(_fields(reading), "says how to read a table; a dict of arrays is taken as it is")
    if like is None:
        _refuse(_fields(reading), "says how to read a table: give --like data.csv (like=), or leave it out")
        if covariates == "resampled":
            raise InputError("covariates 'resampled' draws rows of an example: give it with --like data.csv (like=)")
    if isinstance(model, str):
        entry = lookup("model", model, MODELS)
        return _builtin(entry, like, rows, envelope.plates, covariates, dict(options or {}), reading)
    if options:
        raise InputError(
            f"option '{next(iter(options))}' (--set): options of built-in models; those of your own model have their "
            "defaults in its signature"
        )
    if like is None:
        raise InputError(
            f"model '{model_name(model)}': a model of your own needs an example that shows the shapes and types of its "
            "arguments: give --like data.csv (and --target), or from Python train(model, like={...})"
        )
    example = _example(
        like, reading, lambda frame, source: arguments_of_model(model, frame, target=reading.target, source=source)
    )
    example = example_arrays(model, example)
    envelope = envelope if rows else dataclasses.replace(envelope, rows=_wide_enough(envelope.rows, example))
    return build_simulator(model, example, envelope, covariates=covariates or "resampled")


def _builtin(
    entry: BuiltinModel,
    like: Any,
    rows: Range | None,
    plates: Mapping[str, Range],
    covariates: str | CovariateLaw | None,
    options: Mapping[str, Any],
    reading: Reading,
) -> Simulator:
    """The simulator of a built-in model; its columns, and the rows to draw covariates from, follow the example."""
    entry.with_options(options)
    for name in plates:
        if name != entry.plate:
            raise InputError(
                f"model '{entry.name}' has no variable plate '{name}'; its columns run along '{entry.plate}': give "
                f"--plate {entry.plate}=LOW:HIGH"
            )
    if entry.target is None and covariates == "resampled":
        raise InputError(f"model '{entry.name}' has no covariates to draw from an example; leave 'resampled' out")
    columns = plates.get(entry.plate)
    if like is not None:
        scaled = dataclasses.replace(reading, standardize=reading.standardize or entry.standardized)
        example = example_arrays(entry.model, _example(like, scaled, lambda *_: entry.read(2, **options).arguments))
        matrix = example[entry.matrix]
        if matrix.ndim != 2:
            raise InputError(
                f"like: '{entry.matrix}' of model '{entry.name}' is a matrix, rows first; got shape {matrix.shape}"
            )
        rows, columns = rows or _wide_enough(entry.rows, example), columns or (matrix.shape[1], matrix.shape[1])
        if entry.target is not None and covariates in (None, "resampled"):
            covariates = ResampledRows({entry.matrix: jnp.asarray(matrix[:, : columns[1]], jnp.float32)})
    return builtin_simulator(entry, rows, columns, covariates=covariates, **options)


def _example(
    like: Any, reading: Reading, arguments_for: Callable[[pl.DataFrame, str], Sequence[Argument]]
) -> Mapping[str, Any]:
    """One dataset: the arrays that were given, or those that a table becomes.

    Args:
        like: Arrays or a table.
        reading: How the table is read.
        arguments_for: Table and its name -> arguments of the model.
    """
    if isinstance(like, Mapping):
        return like
    frame, source = as_frame(like, text_columns=reading.categorical)
    arguments = arguments_for(frame, source)
    _, data = Recipe.fit(
        frame,
        arguments,
        target=reading.target,
        standardized=reading.standardize,
        categorical=reading.categorical,
        drop_missing=reading.drop_missing,
        source=source,
    )
    return {a.name: data.values[a.name].astype(a.dtype) for a in arguments}


def _wide_enough(usual: Range, example: Mapping[str, np.ndarray]) -> Range:
    """The usual rows, made wider to hold those of the example; a very long one does not decide."""
    num_rows = len(next(iter(example.values())))
    return min(usual[0], num_rows), max(usual[1], min(num_rows, MOST_USUAL_ROWS))


def _fields(reading: Reading) -> dict[str, Any]:
    return {field.name: getattr(reading, field.name) for field in dataclasses.fields(reading)}


def _refuse(given: Mapping[str, Any], why: str) -> None:
    for name, value in given.items():
        if value is not None and value is not False and value != () and value != {}:
            raise InputError(f"train: '{name}' {why}")
