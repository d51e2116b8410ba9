"""How a table becomes a dataset: learnt once, from the table that is answered, and done again to later rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.assign import (
    TableArgument,
    check_categorical,
    matrix_argument,
    named_arguments,
    target_argument,
)
from posterity.tables.cells import codes, counted, in_order, label, listed, show
from posterity.tables.columns import (
    complete_rows,
    covariate_cells,
    indicator_names,
    refuse_constant,
    refuse_infinite,
)
from posterity.tables.groups import owners
from posterity.tables.scaling import Scaling, far_scales, location_and_scale, regression_original_units
from posterity.tables.target import check_counts, learn_target, target_cells

__all__ = ["Recipe"]


@dataclass(frozen=True, eq=False, repr=False)
class Recipe(AbstractRecipe):
    """The way from a table to a model's dataset, as learnt from one table.

    `fit` learns it and gives that table's dataset; `transform` does the same to another whole table, `new_rows` to
    rows to predict for; `predictions_to_table` and `to_table_units` lead back.

    Attributes:
        source: What messages call the table that it was learnt from.
        target: Column of the observed vector; None where there is none.
        target_argument: Argument that it feeds.
        target_kind: Kind of its values.
        named: Vector arguments that take the column of their own name.
        matrix: Argument that takes all other columns.
        covariates: Columns that feed covariates (or a matrix of data), in the order of the table.
        unused: Columns that nothing takes.
        levels: Categorical column -> its levels, in order; the first has no indicator. Their type decides how the
            column is read in later tables.
        target_levels: What the codes 0, 1, ... of a binary or class target stand for; None for other targets.
        scaling: Means and sds of the z-scores; None where columns are taken as they are.
    """

    source: str
    target: str | None
    target_argument: str | None
    target_kind: str | None
    named: tuple[str, ...]
    matrix: str | None
    covariates: tuple[str, ...]
    unused: tuple[str, ...]
    levels: Mapping[str, pl.Series] = field(default_factory=dict)
    target_levels: pl.Series | None = None
    scaling: Scaling | None = None
    units: ClassVar[Literal["model", "table"]] = "model"

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        arguments: Sequence[TableArgument],
        *,
        target: str | None = None,
        standardized: bool = False,
        categorical: Collection[str] = (),
        drop_missing: bool = False,
        groups: Mapping[str, np.ndarray] | None = None,
        source: str = "table",
    ) -> "tuple[Recipe, TableData]":
        """Learns how a table becomes a dataset, and makes that dataset.

        Booleans become 0 and 1. A categorical column becomes one indicator per level but the first: all of them
        together would sum to 1, the intercept's own column, and no data could tell their weights apart.

        Args:
            frame: The table, without the column of the groups.
            arguments: The model's.
            target: Column that the observed vector takes; the column of its own name if None.
            standardized: Z-score the columns of real arguments, a real target included. Means and sds withstand wrong
                cells, see `location_and_scale`.
            categorical: Columns to one-hot encode.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            groups: From `split_groups`. Rows of no group are left out, and groups count alike in the scales.
            source: What messages call the table.

        Raises:
            InputError: The table does not suit the model; the message names the column and the cure.
        """
        draft = cls._assigned(frame.columns, arguments, target, categorical, source)
        columns = [*draft.covariates, *([draft.target] if draft.target else [])]
        cells = draft._cells(frame.select(columns), dict.fromkeys(categorical), source)
        owner = np.zeros(frame.height, int) if groups is None else owners(groups, frame.height)
        rows = complete_rows(cells, owner >= 0, drop_missing=drop_missing, least=2, source=source)
        kept = cells[rows]
        draft = draft._with_levels(kept, arguments, categorical)
        refuse_constant(kept.select(draft.covariates), frame.select(draft.covariates), source)
        matrix, seen = draft._matrix(kept, rows, source), draft._target_values(kept, rows, source)
        if standardized:
            real = {argument.name for argument in arguments if argument.dtype == "float32"}
            weights = None if groups is None else 1.0 / np.bincount(owner[rows])[owner[rows]]
            draft = replace(draft, scaling=draft._learnt_scaling(matrix, seen, real, weights))
        return draft, TableData(draft._arguments(matrix, seen), rows, frame.height - len(rows))

    def transform(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "table") -> TableData:
        """Another whole table, target included, as a dataset: assigned, coded and scaled as the first one was.

        Args:
            frame: At least the columns of the first table that feed the model; others are not read.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call this table.

        Raises:
            InputError: A column is missing or of another kind, a cell is missing or infinite, a category is new.
        """
        columns = [*self.covariates, *([self.target] if self.target else [])]
        return self._dataset(frame, columns, drop_missing, "leave these rows out", source)

    def new_rows(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "new rows") -> TableData:
        """Covariates of rows to predict for, coded and scaled as the table was.

        Args:
            frame: At least the columns of the table but its target; others are not read.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call the new rows.

        Raises:
            InputError: A column is missing or not numeric, a cell is missing or infinite, a category is new.
        """
        if not self.covariates:
            raise InputError(f"{source}: the model takes no covariates, so there is nothing to predict from")
        return self._dataset(frame, self.covariates, drop_missing, "predict the other rows only", source)

    @property
    def names(self) -> tuple[str, ...]:
        """Covariates after encoding, in order: "COL=level" for indicators."""
        return tuple(name for names in self._encoded_names().values() for name in names)

    @property
    def columns_of(self) -> dict[str, tuple[str, ...]]:
        """Matrix argument -> names of its columns, for the labels of latents."""
        return {} if self.matrix is None else {self.matrix: tuple(n for n in self.names if n not in self.named)}

    @property
    def entries(self) -> dict[str, list[str]]:
        """None: every name follows an argument's columns."""
        return {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the codes 0, 1, ... of a binary or class target; empty for other targets."""
        return () if self.target_levels is None else tuple(map(label, self.target_levels))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that `read_table` is to take from a CSV as they are written, so that "05" does not become 5."""
        levels = dict(self.levels)
        if self.target is not None and self.target_levels is not None and self.target_levels.dtype == pl.String:
            levels[self.target] = self.target_levels
        return tuple(levels)

    def to_table_units(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Draws of a generalized linear model in the table's units; None where they are in these already.

        Args:
            draws: As in `regression_original_units`.

        Raises:
            InputError: The model has other latents.
        """
        return None if self.scaling is None else regression_original_units(self.scaling, draws)

    def table_labels(self, labels: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """The labels as they are: the latents are the same ones in other units."""
        return labels

    def scale_reasons(self, values: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """Sentences for z-scored columns whose location or scale in these rows lies far from the recipe's.

        Args:
            values: A dataset of this recipe, or the rows of one group of it.
        """
        if self.scaling is None:
            return ()
        z_scores = {name: values[name] for name in self.named}
        for argument, names in self.columns_of.items():
            z_scores |= dict(zip(names, values[argument].T, strict=True))
        scales = dict(zip(self.names, zip(self.scaling.means, self.scaling.sds, strict=True), strict=True))
        if self.target is not None and self.target_argument is not None:
            z_scores[self.target] = values[self.target_argument]
            scales[self.target] = (self.scaling.target_mean, self.scaling.target_sd)
        return tuple(far_scales(z_scores, scales))

    # --- Learning ---

    @classmethod
    def _assigned(
        cls,
        columns: Sequence[str],
        arguments: Sequence[TableArgument],
        target: str | None,
        categorical: Collection[str],
        source: str,
    ) -> "Recipe":
        """The recipe as far as names tell: which column feeds which argument."""
        matrix = matrix_argument(arguments, source)
        observed = target_argument(arguments, columns, target, source)
        seen = None if observed is None else target or observed.name
        named = tuple(a.name for a in named_arguments(arguments, observed, columns, seen, source))
        covariates = tuple(name for name in columns if name != seen and (matrix is not None or name in named))
        unused = tuple(name for name in columns if name != seen and name not in covariates)
        check_categorical(categorical, columns, target=seen, named=named, unused=unused, source=source)
        if matrix is not None and not covariates:
            beside = f" beside the target '{seen}'" if columns else ""
            raise InputError(f"{source}: no covariate columns{beside}; expected at least 1. Add one.")
        return cls(
            source=source,
            target=seen,
            target_argument=observed.name if observed else None,
            target_kind=observed.kind if observed else None,
            named=named,
            matrix=matrix.name if matrix else None,
            covariates=covariates,
            unused=unused,
        )

    def _with_levels(
        self, kept: pl.DataFrame, arguments: Sequence[TableArgument], categorical: Collection[str]
    ) -> "Recipe":
        """With the levels of rows that have all their cells."""
        target_levels = None
        if self.target is not None and self.target_kind is not None:
            (num_classes,) = (a.num_classes for a in arguments if a.name == self.target_argument)
            target_levels = learn_target(kept[self.target], self.target_kind, num_classes or None, self.source)
        levels = {name: in_order(kept[name]) for name in self.covariates if name in categorical}
        return replace(self, levels=levels, target_levels=target_levels)

    def _learnt_scaling(
        self, matrix: np.ndarray, seen: np.ndarray | None, real: Collection[str], weights: np.ndarray | None
    ) -> Scaling:
        """Scales of columns that feed real arguments; codes and counts have no z-scores."""
        chosen = np.array([(name if name in self.named else self.matrix) in real for name in self.names], bool)
        means, sds = location_and_scale(matrix, weights)
        scaling = Scaling(self.names, np.where(chosen, means, 0.0), np.where(chosen, sds, 1.0))
        if seen is None or self.target_kind != "real":
            return scaling
        mean, sd = location_and_scale(seen, weights)
        return replace(scaling, target_mean=float(mean), target_sd=float(sd))

    # --- Doing ---

    def _dataset(
        self, frame: pl.DataFrame, columns: Sequence[str], drop_missing: bool, gain: str, source: str
    ) -> TableData:
        """A later table, or those columns of it, as a dataset."""
        lacking = [name for name in columns if name not in frame.columns]
        if lacking:
            raise InputError(
                f"{source}: no column {listed(lacking)}; expected those of {self.source}: {listed(columns)}. "
                f"It has {listed(frame.columns)}.{did_you_mean(lacking[0], frame.columns)}"
            )
        cells = self._cells(frame.select(columns), self.levels, source)
        rows = complete_rows(cells, drop_missing=drop_missing, least=1, gain=gain, source=source)
        kept = cells[rows]
        values = self._arguments(self._matrix(kept, rows, source), self._target_values(kept, rows, source))
        return TableData(values, rows, frame.height - len(rows))

    def _cells(self, frame: pl.DataFrame, levels: Mapping[str, pl.Series | None], source: str) -> pl.DataFrame:
        """Numbers and levels of a table's columns, missing cells null."""
        cells = covariate_cells(frame.select(self.covariates), levels, source)
        if self.target in frame.columns and self.target_kind is not None:
            cells.append(target_cells(frame[self.target], self.target_kind, source, self.target_levels))
        table = pl.DataFrame(cells)
        refuse_infinite(table, source)
        return table

    def _encoded_names(self) -> dict[str, list[str]]:
        """Column -> the names of its numbers, which are several where it is categorical."""
        return {
            name: indicator_names(name, self.levels[name], self.source) if name in self.levels else [name]
            for name in self.covariates
        }

    def _matrix(self, kept: pl.DataFrame, rows: np.ndarray, source: str) -> np.ndarray:
        """Covariates after encoding, before scaling, shape `(rows, names)`.

        Args:
            kept: Cells, none missing.
            rows: Where they stood in the table.
            source: What messages call the table.
        """
        encoded = self._encoded_names()
        columns: dict[str, np.ndarray] = {}
        for name, names in encoded.items():
            twice = columns.keys() & set(names)
            if twice:
                raise InputError(
                    f"{source}: duplicate covariates {listed(sorted(twice))} after one-hot encoding. Rename one."
                )
            if name in self.levels:
                code = self._codes(kept[name], self.levels[name], rows, source)
                columns |= {name: (code == place).astype(float) for place, name in enumerate(names, start=1)}
            else:
                columns[name] = kept[name].to_numpy()
        return np.stack([*columns.values()], axis=1) if columns else np.zeros((kept.height, 0))

    def _target_values(self, kept: pl.DataFrame, rows: np.ndarray, source: str) -> np.ndarray | None:
        """The target before scaling, shape `(rows,)`: float64 for real values, int64 for counts and codes."""
        if self.target is None or self.target not in kept.columns:
            return None
        column = kept[self.target]
        if self.target_levels is not None:
            return self._codes(column, self.target_levels, rows, source)
        if self.target_kind == "count":
            check_counts(column, f"{source}: target column '{self.target}'")
            return column.to_numpy().astype(np.int64)
        return column.to_numpy()

    def _codes(self, cells: pl.Series, levels: pl.Series, rows: np.ndarray, source: str) -> np.ndarray:
        """Place of every cell among levels; an unknown one is refused."""
        code = codes(cells, levels)
        new = code.is_null().arg_true()
        if len(new) > 0:
            others = f" ({counted(len(new), 'row')} with new ones in all)" if len(new) > 1 else ""
            raise InputError(
                f"{source}: column '{cells.name}' has the category '{show(cells[new[0]])}' in data row "
                f"{rows[new[0]] + 1}{others}; {self.source} has {listed(levels)}. Leave such rows out, or infer from a "
                "table that has it."
            )
        return code.to_numpy()

    def _arguments(self, matrix: np.ndarray, seen: np.ndarray | None) -> dict[str, np.ndarray]:
        """The dataset: z-scores where the recipe has a scaling, handed to the arguments."""
        if self.scaling is not None:
            matrix = (matrix - self.scaling.means) / self.scaling.sds
            if seen is not None and self.target_kind == "real":
                seen = (seen - self.scaling.target_mean) / self.scaling.target_sd
        place = {name: index for index, name in enumerate(self.names)}
        values = {name: matrix[:, place[name]] for name in self.named}
        if seen is not None and self.target_argument is not None:
            values[self.target_argument] = seen
        for argument, names in self.columns_of.items():
            values[argument] = matrix[:, [place[name] for name in names]]
        return values
