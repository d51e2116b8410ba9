"""What a user's own model takes, found out from a table of the kind that it is meant for."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from posterity.model.arguments import Argument, model_name, optional_arguments
from posterity.model.read import read_model
from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import listed

__all__ = ["arguments_of_model"]

Shapes = Mapping[str, str]  # argument -> "target", "vector" or "matrix"


def arguments_of_model(
    model: Callable[..., Any], frame: pl.DataFrame, *, target: str | None, source: str = "table"
) -> tuple[Argument, ...]:
    """The model's arguments: which are vectors, which one is a matrix, and which are data.

    The rules are those of `posterity.tables.assign`. Where they leave several readings of a signature, each
    is traced on made-up numbers, and the first in which the target feeds an observed vector is taken.

    Args:
        model: A NumPyro model.
        frame: A table of the kind that it is meant for.
        target: Column that the observed vector takes.
        source: The file's name, for messages.

    Raises:
        InputError: No reading fits, or the model cannot serve.
    """
    if target is not None and target not in frame.columns:
        nearest = did_you_mean(target, frame.columns)
        raise InputError(f"{source}: --target '{target}': no such column. Columns: {listed(frame.columns)}.{nearest}")
    first_refusal: InputError | None = None
    for likely, shapes in _readings(model, frame.columns, target):
        try:
            arguments = _traced(model, frame, shapes)
        except InputError as error:
            first_refusal = first_refusal or (error if likely else None)
            continue
        if all(a.role == "data" for a in arguments if shapes[a.name] == "target"):
            return arguments
    raise first_refusal or InputError(
        f"model '{model_name(model)}' and {source}: cannot tell which columns feed its arguments "
        f"{listed(inspect.signature(model).parameters)}. Name the observed column with --target, or call "
        "columns like arguments; one argument may take all the rest"
    )


def _readings(model: Callable[..., Any], columns: Sequence[str], target: str | None) -> Iterator[tuple[bool, Shapes]]:
    """Readings of the signature, the likeliest first, and whether they keep to NumPyro's custom `y=None`.

    An argument with another default than None is an option of the model and left alone.
    """
    optional = optional_arguments(model)
    parameters = inspect.signature(model).parameters.values()
    names = [p.name for p in parameters if p.default is p.empty or p.name in optional]
    if target is None:
        takers: list[str | None] = [None]
    elif target in names:
        takers = [target]
    else:
        takers = [*optional, *(name for name in names if name not in optional)]
    for taker in takers:
        others = [name for name in names if name != taker]
        nameless = [name for name in others if name not in columns]
        if len(nameless) > 1:  # an optional argument may stay away
            nameless = [name for name in nameless if name not in optional]
            others = [name for name in others if name in columns or name in nameless]
        if len(nameless) > 1:
            continue
        for matrix in nameless or [None, *others]:
            shapes = {name: "matrix" if name == matrix else "vector" for name in others}
            yield taker == takers[0], shapes if taker is None else shapes | {taker: "target"}


def _may_be_codes(column: pl.Series) -> bool:
    """Whether cells are whole numbers, or labels that codes stand for."""
    if column.dtype.is_float():
        return bool((column == column.round()).all())
    return True


def _traced(model: Callable[..., Any], frame: pl.DataFrame, shapes: Shapes) -> tuple[Argument, ...]:
    """Arguments of the model on made-up numbers: all real first, then integer columns as indices, targets as codes.

    A target is tried as codes whatever its column holds, since labels become codes. Last, so are columns of floats that
    happen to be whole, as pandas keeps integers beside missing cells.
    """
    vectors = [name for name, shape in shapes.items() if shape == "vector" and name in frame.columns]
    integers = [name for name in vectors if frame[name].dtype.is_integer()]
    others = [name for name in vectors if _may_be_codes(frame[name])]
    targets = [name for name, shape in shapes.items() if shape == "target"]
    width = max(2, frame.width - sum(shape != "matrix" for shape in shapes.values()))
    example = {name: np.zeros((width + 3, width) if shape == "matrix" else width + 3) for name, shape in shapes.items()}
    refusal: InputError | None = None
    for coded in ([], integers, targets, [*integers, *targets], others, [*others, *targets]):
        if coded or refusal is None:
            try:
                return read_model(
                    model, {**example, **{name: np.zeros(width + 3, np.int32) for name in coded}}
                ).arguments
            except InputError as error:
                refusal = error
    assert refusal is not None
    raise refusal
