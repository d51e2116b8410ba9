"""How a formula makes a dataset of a table: learnt from the table that is answered, done again to new rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.cells import codes, label
from posterity.tables.formula.design import INTERCEPT, Design
from posterity.tables.formula.effects import GroupEffects, learnt_effects
from posterity.tables.formula.family import FormulaFamily
from posterity.tables.formula.numbers import check_numbers, number_expressions
from posterity.tables.formula.parse import Formula
from posterity.tables.formula.reading import CompleteRows, check_names, read_rows
from posterity.tables.formula.response import learn_response, response_cells
from posterity.tables.formula.scales import fixed_columns, fixed_scaling
from posterity.tables.formula.syntax import columns_in, plain_name
from posterity.tables.formula.units import draws_in_table_units, labels_in_table_units
from posterity.tables.groups import owners
from posterity.tables.scaling import Scaling, far_scales

__all__ = ["FormulaRecipe"]


@dataclass(frozen=True, eq=False, repr=False)
class FormulaRecipe(AbstractRecipe):
    """The way from a table to the dataset of a formula's program, as learnt from one table.

    Attributes:
        source: What messages call the table that it was learnt from.
        formula: The formula.
        family: Of the response.
        fixed: Columns of the fixed part; an intercept is no argument of the program.
        effects: What varies by group.
        numbers: `offset`, `trials` and `weights` -> their expression, where there is one.
        levels: Column of words -> its levels.
        target_levels: What the codes 0, 1, ... of the response stand for; None for other responses.
        scaling: Of the columns of the fixed part without the intercept, and of the response.
    """

    source: str
    formula: Formula
    family: FormulaFamily
    fixed: Design
    effects: tuple[GroupEffects, ...]
    numbers: Mapping[str, Design]
    levels: Mapping[str, pl.Series]
    target_levels: pl.Series | None
    scaling: Scaling
    units: ClassVar[Literal["model", "table"]] = "table"
    target_argument: ClassVar[str] = "y"
    unused: ClassVar[tuple[str, ...]] = ()  # a formula says itself what it takes

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        formula: Formula,
        family: FormulaFamily,
        *,
        trials: str | None = None,
        weights: str | None = None,
        categorical: Collection[str] = (),
        drop_missing: bool = False,
        groups: Mapping[str, np.ndarray] | None = None,
        source: str = "table",
    ) -> "tuple[FormulaRecipe, TableData]":
        """Learns how a table becomes a dataset, and makes that dataset.

        Args:
            frame: The table.
            formula: The formula.
            family: Of the response.
            trials: Expression for the trials of each row.
            weights: Expression for the weight of each row.
            categorical: Columns of numbers to take as words.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            groups: From `split_groups`, where each group of rows is a dataset. Rows of none are left out, and groups
                count alike in the scales.
            source: What messages call the table.

        Raises:
            InputError: The table does not suit the formula; the message names the column and the cure.
        """
        where = f"{source}: formula '{formula.text}'"
        extra = number_expressions(formula, family, trials, weights, where)
        texts = [formula.fixed, *(bar.effects for bar in formula.bars), *extra.values()]
        owner = np.zeros(frame.height, int) if groups is None else owners(groups, frame.height)
        read = _read_first(frame, formula, family, texts, categorical, owner >= 0, drop_missing, where, source)
        fixed, matrix = Design.fit(formula.fixed, read.table, where)
        _check_location(fixed, formula, family, where)
        made = {name: Design.fit(f"0 + I({text})", read.table, where) for name, text in extra.items()}
        numbers = {name: column[:, 0] for name, (_, column) in made.items()}
        cells = _evaluated(formula.response, read.table, where) if read.response is None else read.response
        levels = learn_response(cells, family.response, source)
        y = cells.to_numpy() if levels is None else codes(cells, levels).to_numpy()
        check_numbers(numbers, y, source)
        weight = None if groups is None else 1.0 / np.bincount(owner[read.rows])[owner[read.rows]]
        residual = y - numbers.get("offset", 0.0) if family.standardized else None
        recipe = cls(
            source=source,
            formula=formula,
            family=family,
            fixed=fixed,
            effects=learnt_effects(formula, family, read, where, source),
            numbers={name: design for name, (design, _) in made.items()},
            levels=read.levels,
            target_levels=levels,
            scaling=fixed_scaling(fixed, matrix, residual, weight, where),
        )
        values = recipe._arguments(read, matrix, numbers, source) | {"y": recipe._scaled(y)}
        return recipe, TableData(values, read.rows, read.dropped)

    def new_rows(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "new rows") -> TableData:
        """Columns of rows to predict for, coded and scaled as the table was.

        Args:
            frame: At least the columns that the right side of the formula (and its trials) mention.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call the new rows.

        Raises:
            InputError: A column is missing or of another kind, a cell is missing or infinite, a level is new.
        """
        where = f"{source}: formula '{self.formula.text}'"
        designs = [self.fixed, *self.numbers.values(), *(term.design for term in self.effects)]
        covariates = columns_in([design.text for design in designs])
        if not covariates and not self.effects:
            raise InputError(f"{source}: the formula has no covariates, so there is nothing to predict from")
        check_names([f"`{name}`" for name in (*covariates, *self.formula.factors)], frame.columns, where)
        known = {
            name: levels
            for term in self.effects
            for name, levels in zip(term.grouping.factors, term.grouping.known, strict=True)
        }
        read = read_rows(
            frame,
            covariates,
            known,
            None,
            levels=self.levels,
            drop_missing=drop_missing,
            gain="predict the other rows only",
            known_from=self.source,
            source=source,
        )
        numbers = {name: design.matrix(read.table, where)[:, 0] for name, design in self.numbers.items()}
        values = self._arguments(read, self.fixed.matrix(read.table, where), numbers, source)
        return TableData(values, read.rows, read.dropped)

    def transform(self, frame: pl.DataFrame, *, drop_missing: bool = False, source: str = "table") -> TableData:
        """Another table, response included, as a dataset: coded and scaled as the first one was.

        Args:
            frame: At least the columns that the formula mentions.
            drop_missing: Leave out rows with a missing cell instead of refusing them.
            source: What messages call this table.

        Raises:
            InputError: As `new_rows`; or the response is an expression, is missing, or has a new class.
        """
        column = plain_name(self.formula.response)
        if column is None:
            raise InputError(f"{source}: the response '{self.formula.response}' is an expression; infer from all rows")
        check_names([f"`{column}`"], frame.columns, f"{source}: formula '{self.formula.text}'")
        cells = response_cells(frame[column], self.family.response, source)
        there = np.flatnonzero(~cells.is_null().to_numpy())
        if len(there) < frame.height and not drop_missing:
            raise InputError(
                f"{source}: '{column}' is missing in {frame.height - len(there)} rows; fill them, or leave them out"
            )
        given = self.new_rows(frame[there], drop_missing=drop_missing, source=source)
        known = cells[there][given.rows]
        y = known if self.target_levels is None else codes(known, self.target_levels)
        if y.null_count():
            raise InputError(f"{source}: '{column}' has a class that the first table does not have")
        values = {**given.values, "y": self._scaled(y.to_numpy())}
        return TableData(values, there[given.rows], frame.height - len(given.rows))

    @property
    def target(self) -> str:
        """The response as the formula has it, backticks removed."""
        return plain_name(self.formula.response) or self.formula.response

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the fixed part, without the intercept."""
        return fixed_columns(self.fixed)

    @property
    def has_intercept(self) -> bool:
        """Whether the fixed part has an intercept, or cutpoints or classes that stand for one."""
        return INTERCEPT in self.fixed.columns

    @property
    def columns_of(self) -> dict[str, tuple[str, ...]]:
        """`x` -> the columns of the fixed part."""
        return {"x": self.columns} if self.columns else {}

    @property
    def entries(self) -> dict[str, list[str]]:
        """Levels of the plates of groups, columns of what varies by them, classes."""
        found = {"columns": list(self.columns), "classes": list(self._other_classes)}
        if self.family.location == "cutpoints":
            pairs = zip(self.classes, self.classes[1:], strict=False)
            found["cutpoints:0"] = [f"{low}|{high}" for low, high in pairs]
        for term in self.effects:
            found[term.index] = term.grouping.labels
            if len(term.columns) > 1:
                axes = (f"sd_{term.site}:0", f"L_{term.site}:0", f"L_{term.site}:1", f"u_{term.site}:1")
                found |= {axis: list(term.columns) for axis in axes}
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of the codes 0, 1, ... of the response; empty for other responses."""
        return () if self.target_levels is None else tuple(map(label, self.target_levels))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns that are taken from a CSV as they are written: those of groups, and of words."""
        return (*self.formula.factors, *self.levels)

    def to_table_units(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Draws of the latents in the table's units; see `draws_in_table_units`."""
        return draws_in_table_units(draws, self.scaling, self.effects, self.family.in_target_units)

    def table_labels(self, labels: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """One label for each scalar of what `to_table_units` gives.

        Args:
            labels: Those of the program's own latents.
        """
        return labels_in_table_units(self.columns, self.effects, self._other_classes, labels)

    def scale_reasons(self, values: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """Sentences for columns whose location or scale in these rows lies far from the recipe's.

        Args:
            values: A dataset of this recipe, or the rows of one group of it.
        """
        z_scores = dict(zip(self.columns, values["x"].T, strict=True)) if self.columns else {}
        scales = dict(zip(self.columns, zip(self.scaling.means, self.scaling.sds, strict=True), strict=True))
        if self.family.standardized:
            z_scores[self.target] = values["y"]
            scales[self.target] = (self.scaling.target_mean, self.scaling.target_sd)
        return tuple(far_scales(z_scores, scales))

    @property
    def _other_classes(self) -> tuple[str, ...]:
        return self.classes[1:] if self.family.location == "classes" else ()

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        """The response as the program sees it: real ones z-scored, counts and codes as they are."""
        if self.family.standardized:
            return (y - self.scaling.target_mean) / self.scaling.target_sd
        return y.astype(np.int64) if self.family.response not in ("real", "positive", "proportion") else y

    def _arguments(
        self, read: CompleteRows, matrix: np.ndarray, numbers: Mapping[str, np.ndarray], source: str
    ) -> dict[str, np.ndarray]:
        """The dataset without its response."""
        values: dict[str, np.ndarray] = {}
        if self.columns:
            chosen = matrix[:, [self.fixed.columns.index(name) for name in self.columns]]
            values["x"] = (chosen - self.scaling.means) / self.scaling.sds
        for term in self.effects:
            if term.index not in values:
                values[term.index] = term.grouping.codes(read.factors, source)
            if term.argument is not None:
                values[term.argument] = term.values(term.design.matrix(read.table, source))
        for name, column in numbers.items():
            values[name] = column.astype(np.int64) if name == "trials" else column
        if "offset" in values:
            values["offset"] = values["offset"] / self.scaling.target_sd
        return values


def _read_first(
    frame: pl.DataFrame,
    formula: Formula,
    family: FormulaFamily,
    texts: Sequence[str],
    categorical: Collection[str],
    among: np.ndarray,
    drop_missing: bool,
    where: str,
    source: str,
) -> CompleteRows:
    """Complete rows of the table that a formula is learnt from; `texts` are the expressions beside the response."""
    names = [f"`{name}`" for name in (*formula.factors, *categorical)]
    check_names([formula.response, *texts, *names], frame.columns, where)
    column = plain_name(formula.response)
    covariates = columns_in(texts if column else [formula.response, *texts])
    for name in categorical:
        if name not in covariates:
            raise InputError(f"{where}: --categorical '{name}': the formula has no effect of it. Leave it out")
    return read_rows(
        frame,
        covariates,
        dict.fromkeys(formula.factors),
        response_cells(frame[column], family.response, source) if column else None,
        levels=dict.fromkeys(categorical),
        among=among,
        drop_missing=drop_missing,
        source=source,
    )


def _check_location(fixed: Design, formula: Formula, family: FormulaFamily, where: str) -> None:
    """Refuses a fixed part that has nothing, or lacks the intercept that cutpoints and classes stand for."""
    if INTERCEPT not in fixed.columns and family.location == "cutpoints":
        raise InputError(f"{where}: the cutpoints of family '{family.name}' are its intercepts. Leave the 0 or -1 out")
    if not fixed.columns and not formula.bars:
        raise InputError(f"{where}: nothing is left to explain the response with. Add a term, or an intercept: 1")


def _evaluated(expression: str, table: object, where: str) -> pl.Series:
    """A response that is an expression."""
    _, column = Design.fit(f"0 + I({expression})", table, where)
    if column.shape[1] != 1:
        raise InputError(f"{where}: the response '{expression}' has {column.shape[1]} columns; expected one")
    return pl.Series(expression, column[:, 0])
