"""What results and doors ask of the way from a table to a dataset, whoever learnt it."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from posterity.runtime.plain import told_arrays
from posterity.tables.scaling import Scaling

__all__ = ["AbstractRecipe", "TableData"]


@dataclass(frozen=True, eq=False)
class TableData:
    """A table as a model's dataset.

    Attributes:
        values: Argument name -> array with rows first, float64 or int64 (counts and codes of classes), z-scored where
            the recipe says so.
        rows: Where its rows stood in the table, counted from 0, ascending.
        dropped_rows: How many rows of the table were left out because a cell was missing.
    """

    values: Mapping[str, np.ndarray]
    rows: np.ndarray
    dropped_rows: int

    def __repr__(self) -> str:
        dropped = f", {self.dropped_rows} rows left out" if self.dropped_rows else ""
        return f"TableData({told_arrays(self.values)}{dropped})"


class AbstractRecipe(abc.ABC):
    """The way from a table to a model's dataset and back, as learnt from one table.

    Attributes:
        source: What messages call the table that it was learnt from.
        target: Column (or expression) of the observed vector; None where there is none.
        target_argument: Argument that it feeds.
        unused: Columns that nothing takes.
        scaling: Means and sds of the z-scores; None where columns are taken as they are.
        units: Units in which latents are told where nobody asks for others.
    """

    source: str
    target: str | None
    target_argument: str | None
    unused: tuple[str, ...]
    scaling: Scaling | None
    units: ClassVar[Literal["model", "table"]]

    def __repr__(self) -> str:
        columns = sum(map(len, self.columns_of.values()))
        scaled = "as they are" if self.scaling is None else "z-scored"
        return f"{type(self).__name__} of {self.source}: target {self.target}, {columns} columns, {scaled}"

    @property
    @abc.abstractmethod
    def columns_of(self) -> dict[str, tuple[str, ...]]:
        """Matrix argument -> names of its columns, for the labels of latents."""

    @property
    @abc.abstractmethod
    def entries(self) -> dict[str, list[str]]:
        """Plate, or `site:axis` of a latent -> names of its entries, where these follow no argument's columns."""

    @property
    @abc.abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Labels of the codes 0, 1, ... of a binary or class target; empty for other targets."""

    @property
    @abc.abstractmethod
    def text_columns(self) -> tuple[str, ...]:
        """Columns that `read_table` is to take from a CSV as they are written, so that "05" does not become 5."""

    @abc.abstractmethod
    def transform(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "table") -> TableData:
        """Another table, target included, as a dataset: coded and scaled as the first one was.

        Args:
            frame: At least the columns of the first table that feed the model; others are not read.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call this table.

        Raises:
            InputError: A column is missing or of another kind, a cell is missing or infinite, a category is new.
        """

    @abc.abstractmethod
    def new_rows(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "new rows") -> TableData:
        """Covariates of rows to predict for, coded and scaled as the table was.

        Args:
            frame: At least the columns of the table but its target; others are not read.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call the new rows.

        Raises:
            InputError: A column is missing or of another kind, a cell is missing or infinite, a category is new.
        """

    @abc.abstractmethod
    def to_table_units(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Draws of the latents in the table's units; None where they are in these already."""

    @abc.abstractmethod
    def table_labels(self, labels: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """One label for each scalar of what `to_table_units` gives.

        Args:
            labels: Those of the model's own latents.
        """

    @abc.abstractmethod
    def scale_reasons(self, values: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """Sentences for z-scored columns whose location or scale in these rows lies far from the recipe's.

        Args:
            values: A dataset of this recipe, or the rows of one group of it.
        """

    def class_labels(self, num_classes: int) -> tuple[str, ...]:
        """Labels of the model's classes: it may have more than the table that it was given."""
        return (*self.classes, *(f"class {code}" for code in range(len(self.classes), num_classes)))[:num_classes]

    def predictions_to_table(self, values: np.ndarray, new_rows: TableData) -> np.ndarray:
        """Numbers on the target's scale in the table's units, one for every new row, NaN for those with missing cells.

        Args:
            values: Shape `(complete row, ...)`. Probabilities of classes pass as they are: such targets have no scale.
            new_rows: What they were predicted from.
        """
        loc, scale = (0.0, 1.0) if self.scaling is None else (self.scaling.target_mean, self.scaling.target_sd)
        among_all = np.full((len(new_rows.rows) + new_rows.dropped_rows, *values.shape[1:]), np.nan)
        among_all[new_rows.rows] = loc + scale * values
        return among_all
