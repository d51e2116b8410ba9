"""What was learnt while a table was made into numbers, done again to the rows of another table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.assign import ColumnPlan
from posterity.tables.cells import counted, label, listed, listed_counts, show
from posterity.tables.columns import covariate_columns, refuse_infinite
from posterity.tables.scaling import Scaling

__all__ = ["Preparation"]


@dataclass(frozen=True, eq=False)
class Preparation:
    """The way from a table's columns to a model's covariates.

    Attributes:
        plan: Which column feeds which argument.
        names: Covariates after encoding, in order: "COL=level" for indicators.
        levels: Categorical column -> the levels that the table has; the first has no indicator.
        scaling: Means and standard deviations of the table; None where nothing is z-scored.
        classes: Labels of the codes 0, 1, ... of a binary or class target.
        source: What messages call the table.
    """

    plan: ColumnPlan
    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    scaling: Scaling | None
    classes: tuple[str, ...]
    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that new rows must have."""
        return tuple(name for name in self.plan.used if name != self.plan.target)

    def new_rows(
        self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "new rows"
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Covariates of new rows, coded and scaled as the table was.

        Args:
            frame: At least the columns of the table but its target; others are not read.
            drop_missing: Leave out rows with a missing cell.
            source: What messages call the new rows.

        Returns:
            Covariate argument -> array with rows first; and which rows of `frame` they are, True for those that have
            all cells, shape `(row,)`.

        Raises:
            InputError: A column is missing or not numeric, a cell is missing or infinite, a category is new.
        """
        self._check_columns(frame.columns, source)
        chosen = frame.select(self.columns)
        table = pl.DataFrame(covariate_columns(chosen, set(self.levels), source))
        refuse_infinite(table, source)
        complete = _complete(table, drop_missing, source)
        rows = np.flatnonzero(complete)
        blocks: dict[str, np.ndarray] = {}
        for column in table:
            if column.name in self.levels:
                blocks |= self._indicators(column, rows, source)
            else:
                blocks[column.name] = column.to_numpy()[rows]
        values = np.stack([blocks[name] for name in self.names], axis=1)
        if self.scaling is not None:
            values = (values - self.scaling.means) / self.scaling.sds
        return self._arguments(values), complete

    def _check_columns(self, columns: Sequence[str], source: str) -> None:
        missing = [name for name in self.columns if name not in columns]
        if not self.columns:
            raise InputError(f"{source}: the model takes no covariates, so there is nothing to predict from")
        if missing:
            raise InputError(
                f"{source}: no column {listed(missing)}; expected those of {self.source}: {listed(self.columns)}. "
                f"It has {listed(columns)}.{did_you_mean(missing[0], columns)}"
            )

    def _indicators(self, column: pl.Series, rows: np.ndarray, source: str) -> dict[str, np.ndarray]:
        """One 0/1 column for each level of the table but the first."""
        known = self.levels[column.name]
        labels = [label(column[int(row)]) for row in rows]
        new = [(int(row), text) for row, text in zip(rows, labels, strict=True) if text not in known]
        if new:
            row, text = new[0]
            others = f" ({counted(len(new), 'row')} with new ones in all)" if len(new) > 1 else ""
            raise InputError(
                f"{source}: column '{column.name}' has the category '{show(text)}' in data row {row + 1}{others}; "
                f"{self.source} has {listed(known)}. Leave such rows out, or infer from a table that has it."
            )
        found = np.array(labels, dtype=object)
        return {f"{column.name}={level}": (found == level).astype(float) for level in known[1:]}

    def _arguments(self, values: np.ndarray) -> dict[str, np.ndarray]:
        place = {name: index for index, name in enumerate(self.names)}
        arguments = {name: values[:, place[name]] for name in self.plan.named}
        if self.plan.matrix is not None:
            arguments[self.plan.matrix] = values[:, [place[n] for n in self.names if n not in self.plan.named]]
        return arguments


def _complete(table: pl.DataFrame, drop_missing: bool, source: str) -> np.ndarray:
    """Which rows have all their cells."""
    complete = ~table.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy()
    if not complete.all() and not drop_missing:
        counts = {column.name: column.null_count() for column in table if column.null_count() > 0}
        raise InputError(
            f"{source}: missing values in {int((~complete).sum())} of {counted(table.height, 'row')}; by column: "
            f"{listed_counts(counts)}. Give --drop-missing to predict the other rows only, or fill the cells in."
        )
    if not complete.any():
        raise InputError(f"{source}: has no {'complete ' if table.height else ''}rows; expected at least 1.")
    return complete
