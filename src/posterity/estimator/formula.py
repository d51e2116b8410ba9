"""`posterity.from_formula`: a formula and a table -> a NumPyro program, its text, and its data."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from posterity.model.formula import RESPONSE_FAMILIES, EffectsLayout, Layout, priors_of, run_program, write_program
from posterity.runtime.errors import InputError, lookup
from posterity.tables.abstract_recipe import TableData
from posterity.tables.formula import FormulaRecipe, parse_formula
from posterity.tables.read import as_frame

__all__ = ["FormulaModel", "as_columns", "from_formula"]


@dataclass(frozen=True, eq=False, repr=False)
class FormulaModel:
    """A formula as a NumPyro program; printing it shows the program, to go on from there.

    Attributes:
        model: The program's function, made by running `source`.
        source: Its text.
        table: The data: arguments as arrays, and which rows of the table they came from.
        recipe: How they were made of the table, and the way back to its units.
        priors: Latent -> the distribution that it has.
    """

    model: Callable[..., Any]
    source: str
    table: TableData
    recipe: FormulaRecipe
    priors: Mapping[str, str]

    def __repr__(self) -> str:
        return self.source

    def __reduce__(self) -> tuple[Callable[..., "FormulaModel"], tuple[Any, ...]]:
        """A pickle holds the text of the program, from which the function is made again."""
        return _restored, (self.source, self.model.__name__, self.table, self.recipe, self.priors)

    @property
    def data(self) -> dict[str, np.ndarray]:
        """Argument -> array with rows first, as `posterity.infer(formula.model, formula.data)` and NUTS take them."""
        return dict(self.table.values)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `x`, along which the slopes `b` run."""
        return self.recipe.columns

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Group -> names of its levels, along which its effects `u` run."""
        return {term.grouping.name: tuple(term.grouping.labels) for term in self.recipe.effects}


def from_formula(
    formula: str,
    data: Any,
    *,
    family: str = "normal",
    priors: Mapping[str, str] | None = None,
    trials: str | None = None,
    weights: str | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    groups: Mapping[str, np.ndarray] | None = None,
    source: str | None = None,
) -> FormulaModel:
    """The NumPyro program of a formula, and the data of a table for it.

    The fixed part is what formulaic understands: `x1 + x2`, `x * z`, `log(x)`, `poly(x, 2)`, `C(code)`, `0 + x`. Beside
    it stand bar terms as in lme4, `(1 + x | school)`, `(x || school)` (no correlations), `(1 | region/town)` (nested),
    `(1 | a:b)`, and `offset(log(hours))`.

    Args:
        formula: `RESPONSE ~ TERMS`; for successes out of trials `cbind(SUCCESSES, FAILURES) ~ TERMS`.
        data: A frame of Polars, pandas, Arrow or any other library that narwhals knows, a CSV or Parquet file, or a
            dict of columns.
        family: A key of `posterity.model.formula.RESPONSE_FAMILIES`.
        priors: Latent -> distribution with numbers, `{"sd": "HalfNormal(1)"}`, in the units of the program; the
            defaults and the keys are told in the documentation of formulas.
        trials: Expression for the trials of each row, for the family `binomial`.
        weights: Expression for a weight of each row, by which its dispersion is divided.
        categorical: Columns of numbers to take as words.
        drop_missing: Leave out rows with a missing cell instead of refusing them.
        groups: Name -> rows, where each group of rows is a dataset of its own.
        source: What messages call the table; its path if None.

    Raises:
        InputError: The formula, the table or a prior cannot serve; formulaic is not installed.
    """
    entry = lookup("family", family, RESPONSE_FAMILIES)
    if not isinstance(formula, str):
        raise InputError(f"from_formula: the formula must be text, such as 'y ~ x'; got {type(formula).__name__}")
    parsed = parse_formula(formula)
    frame, source = as_frame(as_columns(data), source, text_columns=(*parsed.factors, *categorical))
    recipe, table = FormulaRecipe.fit(
        frame,
        parsed,
        entry,
        trials=trials,
        weights=weights,
        categorical=categorical,
        drop_missing=drop_missing,
        groups=groups,
        source=source,
    )
    layout = _layout(recipe, table)
    chosen = priors_of(layout, entry, priors or {})
    text = write_program(layout, entry, chosen)
    told = {latent: prior.source.removeprefix("dist.") for latent, prior in chosen.items()}
    return FormulaModel(run_program(text, parsed.text), text, table, recipe, told)


def _restored(
    source: str, name: str, table: TableData, recipe: FormulaRecipe, priors: Mapping[str, str]
) -> FormulaModel:
    return FormulaModel(run_program(source, name), source, table, recipe, priors)


def as_columns(data: Any) -> Any:
    """A dict of columns as a frame; anything else as it is."""
    if not isinstance(data, Mapping):
        return data
    columns = {str(n): c if isinstance(c, (list, tuple, pl.Series)) else np.asarray(c) for n, c in data.items()}
    try:
        return pl.DataFrame(columns, strict=False)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise InputError(
            f"the dict of columns is no table: {error}. Give one cell for each row in every column"
        ) from error


def _layout(recipe: FormulaRecipe, table: TableData) -> Layout:
    """What the program consists of."""
    effects = tuple(
        EffectsLayout(e.site, e.index, e.argument, e.columns, len(e.grouping.places)) for e in recipe.effects
    )
    return Layout(
        comments=tuple(_comments(recipe)),
        columns=recipe.columns,
        has_intercept=recipe.has_intercept,
        effects=effects,
        numbers=tuple(recipe.numbers),
        num_classes=0 if recipe.family.location == "intercept" else len(recipe.classes),
        intercept_at=_log_mean(table.values) if RESPONSE_FAMILIES[recipe.family.name].log_link else 0.0,
    )


def _log_mean(values: Mapping[str, np.ndarray]) -> float:
    """Log of the mean response for each unit of exposure: where a log link's intercept has its prior."""
    exposure = np.mean(np.exp(values.get("offset", np.zeros(1))))
    mean = float(np.mean(values["y"]) / exposure)
    return float(np.log(mean)) if mean > 0.0 else 0.0


def _comments(recipe: FormulaRecipe) -> list[str]:
    """What the arguments hold, for who reads the program."""
    scaling, formula = recipe.scaling, recipe.formula
    lines = [f"{formula.text}, family {recipe.family.name}."]
    if recipe.family.standardized:
        lines.append(f"y: ({recipe.target} - {scaling.target_mean:.6g}) / {scaling.target_sd:.6g}")
    else:
        codes = ", ".join(f"{code} = {label}" for code, label in enumerate(recipe.classes))
        lines.append(f"y: {recipe.target}{f' ({codes})' if codes else ''}")
    columns = [
        f"({name} - {mean:.6g}) / {sd:.6g}"
        for name, mean, sd in zip(scaling.names, scaling.means, scaling.sds, strict=True)
    ]
    lines += [f"x: {', '.join(columns)}"] if columns else []
    for term in recipe.effects:
        shown = [
            name if scale == 1.0 else f"{name} / {scale:.6g}"
            for name, scale in zip(term.columns, term.scales, strict=True)
        ]
        lines.append(f"{term.index}: codes of {term.grouping.name}")
        lines += [f"{term.argument}: {', '.join(shown)}"] if term.argument else []
    lines += [f"{name}: {design.text.removeprefix('0 + I(')[:-1]}" for name, design in recipe.numbers.items()]
    return list(dict.fromkeys(lines))
