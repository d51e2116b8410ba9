"""How numbers, cells and estimates are written on the page."""

import math

from study.judging.paper_cells import Cell, Key
from study.judging.values import Estimate, Study

__all__ = ["entry", "number", "ours", "paper", "plus_minus", "seeds", "steps"]


def number(value: float | None) -> str:
    """Four significant digits, and no exponent below a million."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e6 else f"{value:.4g}"


def plus_minus(value: float, error: float) -> str:
    """A value and its standard error."""
    return f"{number(value)} ± {error:.2g}"


def seeds(estimate: Estimate) -> str:
    """What the error is over."""
    return f"{estimate.num_seeds} seeds" if estimate.num_seeds > 1 else "1 seed"


def ours(estimate: Estimate | None) -> str:
    """Our value, its error, and what the error is over."""
    if estimate is None:
        return "not run"
    return f"{plus_minus(estimate.value, estimate.error)} ({seeds(estimate)})"


def paper(cell: Cell) -> str:
    """The paper's value as printed."""
    return cell.printed.replace("±", " ± ")


def steps(study: Study, key: Key) -> str:
    """Training steps and preset, empty where the cell was not run."""
    count = study.steps(key)
    return ", ".join(filter(None, [f"{count:,}" if count else "", study.preset(key)]))


def entry(study: Study, key: Key, measure: str) -> str:
    """Our value with its error, empty if there is none."""
    found = study.estimate(key, measure)
    return "" if found is None else plus_minus(found.value, found.error)
