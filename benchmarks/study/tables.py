"""Real tables and their folds: a folder of CSV files, scikit-learn's own, and what the user names on OpenML.

Five folds, shuffled with seed 0; the other four fifths are the dataset. Columns are z-scored by them, and a real target
is divided so that its sd is the square root of the number of columns, as in the paper's code. The tables come from
`$POSTERITY_DATA` (a folder with `manifest.json`), or from `../shared/data/tabular` beside the checkout, or else from
scikit-learn; `POSTERITY_OPENML=name,name` adds datasets of OpenML, fetched by scikit-learn.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fold", "Table", "folds", "tables"]

NUM_FOLDS = 5
MOST_ROWS, MOST_COLUMNS = 2000, 100


class Table(NamedTuple):
    """A real table.

    Attributes:
        name: Its name.
        x: Covariates, constant columns left out.
        y: Target; 0 or 1 for a class.
        is_class: Whether the target is one.
        in_paper: Whether the paper has it.
    """

    name: str
    x: Float[np.ndarray, "row column"]
    y: Float[np.ndarray, " row"]
    is_class: bool
    in_paper: bool


class Fold(NamedTuple):
    """One split of a table, scaled by its training rows.

    Attributes:
        name: Of table and split.
        x: Covariates of the training rows.
        y: Their target.
        x_new: Covariates of the held-out rows.
        y_new: Their target.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    y_new: np.ndarray


def tables() -> Iterator[Table]:
    """Every regression table and every table with two classes, within the paper's limits on their size."""
    folder = Path(os.environ.get("POSTERITY_DATA", Path(__file__).resolve().parents[3] / "shared" / "data" / "tabular"))
    found = _from_folder(folder) if (folder / "manifest.json").exists() else _from_scikit_learn()
    for table in (*found, *_from_openml(os.environ.get("POSTERITY_OPENML", ""))):
        varies = table.x.std(axis=0) > 0.0
        table = table._replace(x=table.x[:, varies])
        if len(table.y) <= MOST_ROWS and table.x.shape[1] <= MOST_COLUMNS:
            yield table


def _from_folder(folder: Path) -> Iterator[Table]:
    import polars as pl

    for entry in json.loads((folder / "manifest.json").read_text()):
        if entry["classes"] in (None, 2):
            frame = pl.read_csv(folder / entry["file"]).to_numpy().astype(np.float64)
            is_class = entry["task"] == "classification"
            yield Table(entry["name"], frame[:, :-1], frame[:, -1], is_class, entry["in_paper_copy"])


def _from_scikit_learn() -> Iterator[Table]:
    from sklearn.datasets import load_breast_cancer, load_diabetes

    for name, load, is_class in (("diabetes", load_diabetes, False), ("breast_cancer", load_breast_cancer, True)):
        x, y = load(return_X_y=True)
        yield Table(name, np.asarray(x, np.float64), np.asarray(y, np.float64), is_class, False)


def _from_openml(names: str) -> Iterator[Table]:
    """Numeric and category columns, the latter as codes as in the paper; a target of two classes or real numbers.

    Args:
        names: Dataset names of OpenML, separated by commas.
    """
    from sklearn.datasets import fetch_openml

    for name in filter(None, (part.strip() for part in names.split(","))):
        x, y = fetch_openml(name, as_frame=True, return_X_y=True, parser="auto")
        is_class = str(y.dtype) in ("category", "object", "bool", "str")
        columns = [_as_numbers(x[column]) for column in x.columns]
        table = Table(name, np.column_stack(columns), _as_numbers(y), is_class, False)
        if not np.isfinite(table.x).all() or (is_class and len(np.unique(table.y)) != 2):
            raise ValueError(f"OpenML's {name!r}: expected no missing values, and a real target or two classes")
        yield table


def _as_numbers(column: "pd.Series") -> np.ndarray:
    if str(column.dtype) in ("category", "object", "bool", "str"):
        return np.unique(column.astype(str), return_inverse=True)[1].astype(np.float64)
    return column.to_numpy(np.float64)


def folds(table: Table) -> Iterator[Fold]:
    """Five folds, each scaled by its training rows alone."""
    from sklearn.model_selection import KFold

    for number, (train, new) in enumerate(KFold(NUM_FOLDS, shuffle=True, random_state=0).split(table.x)):
        mean, sd = table.x[train].mean(axis=0), table.x[train].std(axis=0)
        sd = np.where(sd > 0.0, sd, 1.0)
        y, y_new = table.y[train], table.y[new]
        if not table.is_class:
            loc, scale = y.mean(), y.std() / np.sqrt(table.x.shape[1])
            y, y_new = (y - loc) / scale, (y_new - loc) / scale
        x, x_new = ((table.x[rows] - mean) / sd for rows in (train, new))
        yield Fold(f"{table.name}/{number}", x, y, x_new, y_new)
