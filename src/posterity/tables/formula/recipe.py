"""How a formula makes a dataset of a table: learnt once, from the table that is answered, and done again to new rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError
from posterity.tables.abstract_recipe import AbstractRecipe, TableData
from posterity.tables.cells import codes, in_order, is_constant, label, listed
from posterity.tables.formula.design import INTERCEPT, Design
from posterity.tables.formula.effects import GroupEffects, effect_scales, identifier, split_uncorrelated
from posterity.tables.formula.factors import Grouping
from posterity.tables.formula.parse import Formula
from posterity.tables.formula.reading import CompleteRows, check_names, columns_in, read_rows
from posterity.tables.formula.response import check_trials, learn_response, response_cells
from posterity.tables.formula.syntax import plain_name
from posterity.tables.formula.units import draws_in_table_units, labels_in_table_units
from posterity.tables.groups import owners
from posterity.tables.scaling import Scaling, far_scales, location_and_scale

__all__ = ["FormulaFamily", "FormulaRecipe"]

RESERVED = (
    *("x", "y", "offset", "trials", "weights", "columns", "classes", "observations"),
    *("b", "eta", "Intercept", "cutpoints", "jax", "jnp", "numpyro", "dist", "model"),
)
"""Names that programs of formulas have already."""


@runtime_checkable
class FormulaFamily(Protocol):
    """What has to be known of a family of responses; `posterity.model.formula.family.ResponseFamily` is one."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def response(self) -> str:
        """Kind of response, a key of `RESPONSE_KINDS`."""
        ...

    @property
    def standardized(self) -> bool:
        """Its response is z-scored."""
        ...

    @property
    def location(self) -> str:
        """`intercept`; `cutpoints`, which stand in its place; `classes`, one predictor for each beyond the first."""
        ...

    @property
    def own(self) -> Mapping[str, str]:
        """Latents of its own, and their priors."""
        ...

    @property
    def in_target_units(self) -> tuple[str, ...]:
        """Those that are scales of the response."""
        ...

    @property
    def takes(self) -> tuple[str, ...]:
        """Arguments that it can do with besides: `trials`, `weights`, `offset`."""
        ...


@dataclass(frozen=True, eq=False)
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
        unused: Columns that the formula does not mention.
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
    unused: tuple[str, ...]
    units: ClassVar[Literal["model", "table"]] = "table"
    target_argument: ClassVar[str] = "y"

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
        extra = _numbers(formula, family, trials, weights, where)
        texts = [formula.response, formula.fixed, *(bar.effects for bar in formula.bars), *extra.values()]
        check_names([*texts, *(f"`{name}`" for name in (*formula.factors, *categorical))], frame.columns, where)
        column = plain_name(formula.response)
        owner = np.zeros(frame.height, int) if groups is None else owners(groups, frame.height)
        read = read_rows(
            frame,
            columns_in(texts[1 if column else 0 :]),
            dict.fromkeys(formula.factors),
            response_cells(frame[column], family.response, source) if column else None,
            levels=dict.fromkeys(categorical),
            among=owner >= 0,
            drop_missing=drop_missing,
            source=source,
        )
        fixed, matrix = Design.fit(formula.fixed, read.table, where)
        _check_location(fixed, formula, family, where)
        made = {name: Design.fit(f"0 + I({text})", read.table, where) for name, text in extra.items()}
        seen = read.response if column else _evaluated(formula.response, read.table, where)
        target_levels = learn_response(seen, family.response, source)
        row_weights = None if groups is None else 1.0 / np.bincount(owner[read.rows])[owner[read.rows]]
        recipe = cls(
            source=source,
            formula=formula,
            family=family,
            fixed=fixed,
            effects=_learnt_effects(formula, family, read, where, source),
            numbers={name: design for name, (design, _) in made.items()},
            levels=read.levels,
            target_levels=target_levels,
            scaling=Scaling((), np.zeros(0), np.zeros(0)),
            unused=tuple(name for name in frame.columns if name not in (*columns_in(texts), *formula.factors)),
        )
        y = seen.to_numpy() if target_levels is None else codes(seen, target_levels).to_numpy()
        numbers = {name: column[:, 0] for name, (_, column) in made.items()}
        _check_numbers(numbers, y, source)
        residual = y - numbers.get("offset", 0.0)
        recipe = replace(recipe, scaling=recipe._learnt_scaling(matrix, residual, row_weights, where))
        values = recipe._arguments(read, matrix, numbers) | {"y": recipe._scaled(y)}
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

    @property
    def target(self) -> str:
        """The response as the formula has it, backticks removed."""
        return plain_name(self.formula.response) or self.formula.response

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the fixed part, without the intercept."""
        return tuple(name for name in self.fixed.columns if name != INTERCEPT)

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
                found |= dict.fromkeys(axes, list(term.columns))
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

    def _learnt_scaling(
        self, matrix: np.ndarray, residual: np.ndarray, weights: np.ndarray | None, where: str
    ) -> Scaling:
        """Centres (with an intercept alone) and scales of the fixed part's columns, and those of the response.

        Columns of 0 and 1 keep their unit: their slope is what a person expects of it.

        Args:
            matrix: Columns of the fixed part, shape `(rows, columns of the design)`.
            residual: Response without its offset, shape `(rows,)`.
            weights: Of each row in the quartiles.
            where: Start of the error message.
        """
        chosen = matrix[:, [self.fixed.columns.index(name) for name in self.columns]]
        means, sds = np.zeros(len(self.columns)), np.ones(len(self.columns))
        constant = np.zeros(0, bool)
        if self.columns:
            means, sds = location_and_scale(chosen, weights)
            constant = is_constant(chosen)
        if self.columns and not self.has_intercept:
            means, sds = np.zeros(len(self.columns)), np.sqrt(np.mean(chosen**2, axis=0))
            constant = ~np.any(chosen, axis=0)
        if constant.any():
            names = listed(np.array(self.columns)[constant])
            raise InputError(
                f"{where}: column {names} does not vary, and its slope cannot be told from the intercept. Remove it"
            )
        sds = np.where(np.isin(chosen, (0.0, 1.0)).all(axis=0), 1.0, sds)
        mean, sd = 0.0, 1.0
        if self.family.standardized:
            mean, sd = map(float, location_and_scale(residual, weights))
            if not self.has_intercept:
                mean, sd = _without_centre(residual, sd, where)
        return Scaling(self.columns, means, sds, mean, sd)

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        """The response as the program sees it: real ones z-scored, counts and codes as they are."""
        if self.family.standardized:
            return (y - self.scaling.target_mean) / self.scaling.target_sd
        return y.astype(np.int64) if self.family.response not in ("real", "positive", "proportion") else y

    def _arguments(
        self, read: CompleteRows, matrix: np.ndarray, numbers: Mapping[str, np.ndarray], source: str | None = None
    ) -> dict[str, np.ndarray]:
        """The dataset without its response."""
        values: dict[str, np.ndarray] = {}
        if self.columns:
            chosen = matrix[:, [self.fixed.columns.index(name) for name in self.columns]]
            values["x"] = (chosen - self.scaling.means) / self.scaling.sds
        where = source or self.source
        for term in self.effects:
            if term.index not in values:
                values[term.index] = term.grouping.codes(read.factors, where)
            columns = term.values(term.design.matrix(read.table, where)) if term.argument else None
            if term.argument is not None and columns is not None:
                values[term.argument] = columns
        for name, column in numbers.items():
            values[name] = column.astype(np.int64) if name == "trials" else column
        if "offset" in values:
            values["offset"] = values["offset"] / self.scaling.target_sd
        return values


def _numbers(
    formula: Formula, family: FormulaFamily, trials: str | None, weights: str | None, where: str
) -> dict[str, str]:
    """`offset`, `trials` and `weights` -> their expressions, those that are given.

    Raises:
        InputError: The family does not take one, lacks its trials, or they are given twice.
    """
    if trials is not None and formula.trials is not None:
        raise InputError(f"{where}: trials are given twice, in the formula and as trials='{trials}'. Give them once")
    given = {
        "offset": " + ".join(f"({text})" for text in formula.offsets) or None,
        "trials": trials if trials is not None else formula.trials,
        "weights": weights,
    }
    found = {name: text for name, text in given.items() if text is not None}
    for name in found:
        if name not in family.takes:
            cure = {
                "offset": "Leave it out",
                "trials": "Take the family binomial",
                "weights": "Repeat the rows instead; for equal rows with counts, take the family binomial or poisson",
            }
            raise InputError(f"{where}: family '{family.name}' takes no {name}. {cure[name]}")
    if "trials" in family.takes and "trials" not in found:
        raise InputError(
            f"{where}: family '{family.name}' needs the trials of each row: cbind(SUCCESSES, FAILURES) ~ ..., or "
            "trials='COLUMN'"
        )
    return found


def _check_numbers(numbers: Mapping[str, np.ndarray], y: np.ndarray, source: str) -> None:
    if "trials" in numbers:
        check_trials(y, numbers["trials"], source)
    if "weights" in numbers and np.any(numbers["weights"] <= 0):
        raise InputError(f"{source}: weights must be above 0; got {numbers['weights'].min():g}. Leave such rows out")


def _check_location(fixed: Design, formula: Formula, family: FormulaFamily, where: str) -> None:
    """Refuses a fixed part that has nothing, or lacks the intercept that cutpoints and classes stand for."""
    if INTERCEPT not in fixed.columns and family.location == "cutpoints":
        raise InputError(f"{where}: the cutpoints of family '{family.name}' are its intercepts. Leave the 0 or -1 out")
    if not fixed.columns and not formula.bars:
        raise InputError(f"{where}: nothing is left to explain the response with. Add a term, or an intercept: 1")


def _without_centre(residual: np.ndarray, sd: float, where: str) -> tuple[float, float]:
    """Location 0 and scale of a response that no intercept centres."""
    size = float(np.sqrt(np.mean(residual**2)))
    if size > 1e3 * sd:
        raise InputError(
            f"{where}: without an intercept the response, of mean {residual.mean():.6g} and sd {sd:.3g}, cannot be centred, "
            "and 32-bit floats would lose its differences. Keep the intercept, or subtract a number from it"
        )
    return 0.0, size


def _evaluated(expression: str, table: object, where: str) -> pl.Series:
    """A response that is an expression."""
    _, column = Design.fit(f"0 + I({expression})", table, where)
    if column.shape[1] != 1:
        raise InputError(f"{where}: the response '{expression}' has {column.shape[1]} columns; expected one")
    return pl.Series(expression, column[:, 0])


def _learnt_effects(
    formula: Formula, family: FormulaFamily, read: CompleteRows, where: str, source: str
) -> tuple[GroupEffects, ...]:
    """Bar terms with their groups, scales and names."""
    taken = [*RESERVED, *family.own]
    groupings: dict[str, tuple[Grouping, str]] = {}
    found: list[GroupEffects] = []
    for bar in formula.bars:
        if bar.group not in groupings:
            index = identifier(bar.group, taken)
            groupings[bar.group] = Grouping.fit(bar.factors, read.factors, source), index
            taken += [index, f"num_{index}"]
        grouping, index = groupings[bar.group]
        design, matrix = Design.fit(bar.effects, read.table, where)
        if not design.columns:
            raise InputError(f"{where}: nothing varies in '({bar.effects} | {bar.group})'. Write (1 | {bar.group})")
        scales = dict(zip(design.columns, effect_scales(design, matrix, where), strict=True))
        if bar.correlated and len(design.columns) > 1 and family.location == "classes":
            raise InputError(
                f"{where}: family '{family.name}' takes effects by group without correlations. Write "
                f"({bar.effects} || {bar.group})"
            )
        for columns in split_uncorrelated(design.columns, bar.correlated):
            again = [name for term in found if term.index == index for name in term.columns if name in columns]
            if again:
                raise InputError(f"{where}: '{again[0]}' varies by '{bar.group}' twice. Keep one of the two terms")
            site = index if all(term.site != index for term in found) else identifier(f"{index}_{columns[0]}", taken)
            argument = None if columns == (INTERCEPT,) else identifier(f"z_{site}", taken)
            taken += [site, *([argument] if argument else [])]
            divisors = np.array([scales[name] for name in columns])
            found.append(GroupEffects(site, index, argument, design, columns, divisors, grouping))
    return tuple(found)
