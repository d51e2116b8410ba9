"""Which columns of a table feed which arguments of a model.

1. The one observed vector takes the column that `target` names, or else the column of its own name.
2. Every other vector argument takes the column of its own name.
3. The one matrix argument, observed or not, takes all other columns in their order.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.cells import listed

__all__ = ["TableArgument", "check_categorical", "matrix_argument", "named_arguments", "target_argument"]


@runtime_checkable
class TableArgument(Protocol):
    """What has to be known of a model's argument; `posterity.model.arguments.Argument` is one."""

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
    def dtype(self) -> str:
        """`float32` where the values are real; only such have z-scores."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes where the kind is `class`."""
        ...


def matrix_argument(arguments: Sequence[TableArgument], source: str) -> TableArgument | None:
    """The argument that takes all columns that no other one takes; None where all are vectors.

    Raises:
        InputError: There are several, or one with more axes than a table has.
    """
    for argument in arguments:
        if len(argument.shape) > 1:
            raise InputError(
                f"{source}: argument '{argument.name}' of the model has {len(argument.shape) + 1} axes, "
                "which a table cannot fill. Give the arrays from Python: Estimator.infer(dataset)."
            )
    matrices = [argument for argument in arguments if argument.shape != ()]
    if len(matrices) > 1:
        raise InputError(
            f"{source}: the model takes {len(matrices)} matrices ({listed(a.name for a in matrices)}), and a table "
            "cannot say which columns belong to which. Give the arrays from Python: Estimator.infer(dataset)."
        )
    return matrices[0] if matrices else None


def target_argument(
    arguments: Sequence[TableArgument], columns: Sequence[str], target: str | None, source: str
) -> TableArgument | None:
    """The observed vector that the target feeds; with several, the one that no column is named after.

    Raises:
        InputError: The table cannot say which column it takes.
    """
    observed = [argument for argument in arguments if argument.shape == () and argument.role == "data"]
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
    _check_known("--target", target, columns, source)
    open_ones = [a for a in observed if a.name not in columns or a.name == target] or observed
    if len(open_ones) > 1:
        raise InputError(
            f"{source}: the model observes {listed(a.name for a in open_ones)}; --target can name the column "
            "of one. Call the columns like the arguments."
        )
    return open_ones[0]


def named_arguments(
    arguments: Sequence[TableArgument],
    observed: TableArgument | None,
    columns: Sequence[str],
    target: str | None,
    source: str,
) -> tuple[TableArgument, ...]:
    """Vectors that take the column of their own name: all but the `observed` one, which takes the column `target`.

    Raises:
        InputError: There is no such column, or it is the target.
    """
    named = tuple(a for a in arguments if a.shape == () and (observed is None or a.name != observed.name))
    for name in (argument.name for argument in named):
        if name not in columns:
            raise InputError(
                f"{source}: no column for the model's argument '{name}'; vector arguments take the column of "
                f"their own name. Columns: {listed(columns)}.{did_you_mean(name, columns)}"
            )
        if name == target:
            raise InputError(
                f"{source}: column '{name}' is named as the target, but it belongs to the model's argument of that "
                "name."
            )
    return named


def check_categorical(
    categorical: Collection[str],
    columns: Sequence[str],
    *,
    target: str | None,
    named: Collection[str],
    unused: Collection[str],
    source: str,
) -> None:
    """Refuses columns that cannot be one-hot encoded: only those of the matrix can.

    Raises:
        InputError: There is no such column, or it goes elsewhere.
    """
    for name in categorical:
        _check_known("--categorical", name, columns, source)
        if name == target:
            raise InputError(
                f"{source}: --categorical '{name}' is the target; it takes covariates only. Leave it out: "
                "models for classes read the labels of their target by themselves."
            )
        if name in named:
            raise InputError(
                f"{source}: --categorical '{name}' would become several columns, but the model's argument "
                f"'{name}' takes one. Leave it out, and write codes 0, 1, 2, ... into the column."
            )
        if name in unused:
            raise InputError(f"{source}: --categorical '{name}': the model takes no such column. Leave it out.")


def _check_known(option: str, name: str, columns: Sequence[str], source: str) -> None:
    if name not in columns:
        nearest = did_you_mean(name, columns)
        raise InputError(f"{source}: {option} '{name}': no such column. Columns: {listed(columns)}.{nearest}")
