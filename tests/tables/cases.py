"""Arguments of a model, as far as tables care, and a recipe of the commonest shape."""

import dataclasses

import polars as pl

from posterity.tables import Recipe, TableData


@dataclasses.dataclass(frozen=True)
class Takes:
    """An argument of a model."""

    name: str
    role: str = "covariate"
    shape: tuple[int, ...] = ()
    kind: str = "real"
    num_classes: int = 0
    dtype: str = "float32"


MATRIX, TARGET = Takes("x", shape=(5,)), Takes("y", "data")
ROWS = Takes("x", "data", shape=(5,))


def regression(frame: pl.DataFrame, kind: str = "real", num_classes: int = 0, **how) -> tuple[Recipe, TableData]:
    """Recipe and dataset of a model of a matrix and the target `y`."""
    target = Takes("y", "data", kind=kind, num_classes=num_classes, dtype="float32" if kind == "real" else "int32")
    return Recipe.fit(frame, [MATRIX, target], **{"target": "y"} | how)
