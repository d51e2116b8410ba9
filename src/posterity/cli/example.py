"""What `posterity train` learns: a built-in model, or the user's own with a table like theirs."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import polars as pl
from jaxtyping import Array

from posterity.cli.user_model import load_model, names_a_file
from posterity.estimator.signature import arguments_of_model
from posterity.model.arguments import Argument
from posterity.model.builtin import MODELS, BuiltinModel
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.covariates import ResampledRows
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import Simulator, build_simulator
from posterity.tables.read import read_table
from posterity.tables.recipe import Recipe, TableData

__all__ = ["LikeTable", "training_simulator"]

Range = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class LikeTable:
    """A table like those that the estimator is for, and how to read it.

    Attributes:
        path: Where it lies; None if the user gave none.
        target: Column that the observed vector takes.
        standardized: Z-score it, as models on z-scored columns do anyway.
        categorical: Columns to one-hot encode.
        drop_missing: Leave out rows with a missing cell.
    """

    path: Path | None
    target: str | None
    standardized: bool
    categorical: tuple[str, ...]
    drop_missing: bool

    def __post_init__(self) -> None:
        """Refuses instructions for reading no table."""
        if self.path is None and (self.target or self.standardized or self.categorical or self.drop_missing):
            raise InputError(
                "--target, --standardize, --categorical and --drop-missing say how to read the table of "
                "--like; give --like data.csv, or leave them out"
            )

    def read(self) -> pl.DataFrame:
        """The table as a frame."""
        assert self.path is not None
        return read_table(self.path, text_columns=self.categorical)

    def dataset(self, frame: pl.DataFrame, arguments: Sequence[Argument], *, standardized: bool) -> TableData:
        """The table as numbers for a model's arguments."""
        _, data = Recipe.fit(
            frame,
            arguments,
            target=self.target,
            standardized=standardized,
            categorical=self.categorical,
            drop_missing=self.drop_missing,
            source=str(self.path),
        )
        return data


def training_simulator(
    model: str,
    *,
    rows: Range | None,
    plates: Mapping[str, Range],
    settings: Mapping[str, Any],
    covariates: str | None,
    like: LikeTable,
) -> Simulator:
    """What simulates the model, checked.

    Args:
        model: Name of a built-in model, or `FILE.py:FUNCTION`.
        rows: Envelope of rows.
        plates: Variable plate -> envelope.
        settings: Options of a built-in model.
        covariates: Name of a covariate law.
        like: A table that shows shapes and covariates.

    Raises:
        InputError: The model, the table or the options cannot serve.
    """
    if not names_a_file(model):
        entry = lookup("model", model, MODELS)
        return _builtin_simulator(entry, rows, plates, settings, covariates, like)
    if settings:
        raise InputError("--set: options of built-in models; those of your own model have their defaults in its file")
    function = load_model(model)
    if like.path is None:
        raise InputError(
            f"{model}: a model of your own needs a table that shows its columns: give --like data.csv (and --target)"
        )
    frame = like.read()
    arguments = arguments_of_model(function, frame, target=like.target, source=str(like.path))
    data = like.dataset(frame, arguments, standardized=like.standardized)
    example = {a.name: data.values[a.name].astype(a.dtype) for a in arguments}
    envelope = Envelope(rows or Envelope().rows, plates)
    return build_simulator(function, example, envelope, covariates=covariates or "resampled")


def _builtin_simulator(
    entry: BuiltinModel,
    rows: Range | None,
    plates: Mapping[str, Range],
    settings: Mapping[str, Any],
    covariates: str | None,
    like: LikeTable,
) -> Simulator:
    for name in plates:
        if name != entry.plate:
            raise InputError(
                f"model '{entry.name}' has no variable plate '{name}'; its columns run along "
                f"'{entry.plate}': give --plate {entry.plate}=LOW:HIGH"
            )
    columns = plates.get(entry.plate)
    if like.path is None:
        if covariates == "resampled":
            raise InputError("--covariates resampled draws rows of a table: give it with --like data.csv")
        return builtin_simulator(entry, rows, columns, covariates=covariates, **settings)
    if covariates not in (None, "resampled"):
        raise InputError(f"--like draws covariates from the table, --covariates {covariates} does not: drop one")
    if entry.target is None:
        raise InputError(f"model '{entry.name}' has no covariates to draw from a table; leave --like out")
    matrix = _covariate_rows(entry, settings, like)
    width = matrix.shape[1]
    columns = columns or (width, width)
    law = ResampledRows({entry.matrix: matrix[:, : columns[1]]})
    return builtin_simulator(entry, rows, columns, covariates=law, **settings)


def _covariate_rows(entry: BuiltinModel, settings: Mapping[str, Any], like: LikeTable) -> Array:
    """Covariates of the table, on the scale that the model is defined on."""
    arguments = entry.read(entry.columns[1], **settings).arguments
    data = like.dataset(like.read(), arguments, standardized=like.standardized or entry.standardized)
    return jnp.asarray(data.values[entry.matrix], jnp.float32)
