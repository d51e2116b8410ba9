"""A table as a dataset: columns to arguments, z-scores where the model wants them."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from posterity.model.arguments import Argument
from posterity.runtime.errors import InputError
from posterity.tables import (
    ColumnPlan,
    NumericTable,
    Preparation,
    Scaling,
    assign_columns,
    numeric_table,
    plan_columns,
    standardize,
)

__all__ = ["TableDataset", "dataset_of_table"]


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
        rows: Where its rows stood in the table, counted from 0; nothing where the dataset was given as arrays.
    """

    values: Mapping[str, np.ndarray]
    columns: Mapping[str, tuple[str, ...]]
    scaling: Scaling | None
    classes: tuple[str, ...]
    target: str | None
    dropped_rows: int
    unused: tuple[str, ...]
    preparation: Preparation | None = None
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.arange(0))


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
        values, columns, scaling, table.classes, plan.target, table.dropped_rows, plan.unused, preparation, table.rows
    )


def _real_columns(arguments: tuple[Argument, ...], plan: ColumnPlan, table: NumericTable) -> tuple[str, ...]:
    """Columns that feed real arguments; codes and counts have no z-scores."""
    real = {argument.name for argument in arguments if argument.dtype == "float32"}
    return tuple(name for name in table.names if (name if name in plan.named else plan.matrix) in real)


def _refuse_unused_categorical(plan: ColumnPlan, categorical: Collection[str], source: str) -> None:
    for name in categorical:
        if name in plan.unused:
            raise InputError(f"{source}: --categorical '{name}': the model takes no such column. Leave it out.")
