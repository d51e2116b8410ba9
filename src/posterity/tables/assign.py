"""Which columns of a table feed which arguments of a model.

1. The one observed vector takes the column that `target` names, or else the column of its own name.
2. Every other vector argument takes the column of its own name.
3. The one matrix argument, observed or not, takes all other columns in their order.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import listed
from posterity.tables.columns import NumericTable

__all__ = ["ColumnPlan", "TableArgument", "assign_columns", "plan_columns"]


@runtime_checkable
class TableArgument(Protocol):
    """What has to be known of a model's argument; `posterity.problem.Argument` is one."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def role(self) -> str:
        """`data` or `covariate`."""
        ...

    @property
    def kind(self) -> str:
        """Kind of data."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row: `()` for a vector, `(columns,)` for a matrix."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes where the kind is `class`."""
        ...


@dataclass(frozen=True)
class ColumnPlan:
    """Where the columns of a table go.

    Attributes:
        target: Column of the observed vector; None where there is none.
        target_argument: Argument that it feeds.
        target_kind: Kind of its values.
        num_classes: Classes of the model, for kind `class`.
        named: Vector arguments that take the column of their own name.
        matrix: Argument that takes all other columns.
        used: Columns that feed an argument, in the order of the table.
        unused: Columns that nothing takes.
    """

    target: str | None
    target_argument: str | None
    target_kind: str | None
    num_classes: int | None
    named: tuple[str, ...]
    matrix: str | None
    used: tuple[str, ...]
    unused: tuple[str, ...]


def plan_columns(
    arguments: Sequence[TableArgument],
    columns: Sequence[str],
    *,
    target: str | None = None,
    categorical: Collection[str] = (),
    source: str = "data.csv",
) -> ColumnPlan:
    """Finds a place for every argument of a model.

    Args:
        arguments: The model's arguments.
        columns: Column names of the table.
        target: Column that feeds the observed vector.
        categorical: Columns that will be one-hot encoded; only the matrix can take them.
        source: The file's name, for messages.

    Raises:
        InputError: An argument finds no column, or the table cannot say which it takes.
    """
    matrix = _matrix_argument(arguments, source)
    vectors = [argument for argument in arguments if argument.shape == ()]
    observed = _target_argument(vectors, columns, target, source)
    column = None if observed is None else target or observed.name
    named = tuple(argument.name for argument in vectors if argument is not observed)
    for name in named:
        _check_named(name, columns, column, categorical, source)
    taken = {*named, column} - {None}
    used = tuple(columns) if matrix else tuple(name for name in columns if name in taken)
    return ColumnPlan(
        target=column,
        target_argument=observed.name if observed else None,
        target_kind=observed.kind if observed else None,
        num_classes=(observed.num_classes or None) if observed else None,
        named=named,
        matrix=matrix,
        used=used,
        unused=tuple(name for name in columns if name not in used),
    )


def assign_columns(plan: ColumnPlan, table: NumericTable) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """The dataset of a table: argument name -> array with rows first; and the column names of each matrix."""
    place = {name: index for index, name in enumerate(table.names)}
    dataset = {name: table.values[:, place[name]] for name in plan.named}
    if plan.target_argument is not None and table.target is not None:
        dataset[plan.target_argument] = table.target
    if plan.matrix is None:
        return dataset, {}
    names = tuple(name for name in table.names if name not in plan.named)
    dataset[plan.matrix] = table.values[:, [place[name] for name in names]]
    return dataset, {plan.matrix: names}


def _matrix_argument(arguments: Sequence[TableArgument], source: str) -> str | None:
    for argument in arguments:
        if len(argument.shape) > 1:
            raise InputError(
                f"{source}: argument '{argument.name}' of the model has {len(argument.shape) + 1} axes, "
                "which a table cannot fill. Give the arrays from Python: Estimator.infer(dataset)."
            )
    matrices = [argument.name for argument in arguments if argument.shape != ()]
    if len(matrices) > 1:
        raise InputError(
            f"{source}: the model takes {len(matrices)} matrices ({listed(matrices)}), and a table cannot "
            "say which columns belong to which. Give the arrays from Python: Estimator.infer(dataset)."
        )
    return matrices[0] if matrices else None


def _target_argument(
    vectors: Sequence[TableArgument], columns: Sequence[str], target: str | None, source: str
) -> TableArgument | None:
    """The observed vector that the target feeds; with several, the one that no column is named after."""
    observed = [argument for argument in vectors if argument.role == "data"]
    if target is None:
        lacking = [argument for argument in observed if argument.name not in columns]
        if lacking:
            raise InputError(
                f"{source}: the model observes '{lacking[0].name}', and no column is called that. Name its "
                f"column with --target; columns: {listed(columns)}."
            )
        return observed[0] if observed else None
    if not observed:
        raise InputError(f"{source}: this model has no target, but '{target}' is named as one. Leave --target out.")
    if target not in columns:
        nearest = did_you_mean(target, columns)
        raise InputError(f"{source}: --target '{target}': no such column. Columns: {listed(columns)}.{nearest}")
    open_ones = [a for a in observed if a.name not in columns or a.name == target] or observed
    if len(open_ones) > 1:
        raise InputError(
            f"{source}: the model observes {listed(a.name for a in open_ones)}; --target can name the column "
            "of one. Call the columns like the arguments."
        )
    return open_ones[0]


def _check_named(
    name: str, columns: Sequence[str], target: str | None, categorical: Collection[str], source: str
) -> None:
    if name not in columns:
        raise InputError(
            f"{source}: no column for the model's argument '{name}'; vector arguments take the column of "
            f"their own name. Columns: {listed(columns)}.{did_you_mean(name, columns)}"
        )
    if name == target:
        raise InputError(
            f"{source}: column '{name}' is named as the target, but it belongs to the model's argument of that name."
        )
    if name in categorical:
        raise InputError(
            f"{source}: --categorical '{name}' would become several columns, but the model's argument "
            f"'{name}' takes one. Leave it out, and write codes 0, 1, 2, ... into the column."
        )
