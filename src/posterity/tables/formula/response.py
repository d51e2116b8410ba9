"""The left side of a formula, by the kind of values that the family takes.

| kind | accepts | becomes |
|---|---|---|
| `real` | numbers | as they are |
| `positive` | numbers above 0 | as they are |
| `proportion` | numbers above 0 and below 1 | as they are |
| `count` | integers from 0 | as they are |
| `binary` | two distinct values | codes 0 and 1, labels in sorted order |
| `class` | labels or codes | codes, labels in sorted order |
| `ordered` | whole numbers, or an Enum, whose order is declared | codes in that order |
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from posterity.runtime.errors import InputError, lookup
from posterity.tables.cells import counted, show
from posterity.tables.target import check_counts, learn_target, target_cells

__all__ = ["RESPONSE_KINDS", "check_trials", "learn_response", "response_cells"]


def response_cells(column: pl.Series, kind: str, source: str) -> pl.Series:
    """Cells of a response that is a column: numbers, or levels that sort; missing ones null.

    Args:
        column: Of the table.
        kind: A key of `RESPONSE_KINDS`.
        source: What messages call the table.

    Raises:
        InputError: The cells are of another kind.
    """
    lookup("kind of response", kind, RESPONSE_KINDS)
    cells = target_cells(column, RESPONSE_KINDS[kind][0], source)
    if kind == "ordered" and cells.dtype in (pl.String, pl.Categorical):
        raise InputError(
            f"{source}: response '{column.name}' holds text, such as '{show(cells.drop_nulls()[0])}', whose order is "
            "not known. Write whole numbers in its place, or give a frame with an Enum column"
        )
    return cells


def learn_response(cells: pl.Series, kind: str, source: str) -> pl.Series | None:
    """Levels that the codes 0, 1, ... of a response stand for; None where its numbers are taken as they are.

    Args:
        cells: None missing.
        kind: A key of `RESPONSE_KINDS`.
        source: What messages call the table.

    Raises:
        InputError: The values do not suit the kind.
    """
    of_table, check = RESPONSE_KINDS[kind]
    levels = learn_target(cells, of_table, None, source)
    check(cells, f"{source}: response '{cells.name}'")
    return levels


def check_trials(counts: np.ndarray, trials: np.ndarray, source: str) -> None:
    """Refuses trials that are no counts, or fewer than the successes.

    Args:
        counts: Successes, shape `(rows,)`.
        trials: Trials, shape `(rows,)`.
        source: What messages call the table.

    Raises:
        InputError: There is one.
    """
    check_counts(pl.Series("trials", trials), f"{source}: the trials")
    few = np.flatnonzero(counts > trials)
    if len(few):
        raise InputError(
            f"{source}: {counted(len(few), 'row')} with more successes than trials, the first with {counts[few[0]]:g} "
            f"out of {trials[few[0]]:g}. Write cbind(SUCCESSES, FAILURES), or mend the cells"
        )


def _positive(cells: pl.Series, where: str) -> None:
    stray = cells.filter(cells <= 0)
    if len(stray):
        raise InputError(
            f"{where} holds {counted(len(stray), 'value')} that are not above 0, such as {show(stray[0])}; this family "
            "takes positive numbers. Take another family, or mend them"
        )


def _proportion(cells: pl.Series, where: str) -> None:
    stray = cells.filter((cells <= 0) | (cells >= 1))
    if len(stray):
        raise InputError(
            f"{where} holds {counted(len(stray), 'value')} not between 0 and 1, such as {show(stray[0])}; this family "
            "takes proportions, both ends excluded. Divide by 100 if they are per cent, or take another family"
        )


def _anything(cells: pl.Series, where: str) -> None:
    """What `learn_target` has checked already."""


RESPONSE_KINDS: dict[str, tuple[str, Callable[[pl.Series, str], None]]] = {
    "binary": ("binary", _anything),
    "class": ("class", _anything),
    "count": ("count", _anything),
    "ordered": ("class", _anything),
    "positive": ("real", _positive),
    "proportion": ("real", _proportion),
    "real": ("real", _anything),
}
"""Kind -> the kind of target that a table reads it by, and a further check."""
