"""Paired comparisons between methods on the same datasets, from which claims are judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from study.judging.paper_cells import Cell, Key, label
from study.judging.values import Study
from study.judging.verdicts import sign

__all__ = ["FALSE_ALARMS", "Contrast", "Difference", "PaperValues", "by_key", "gain", "in_paper", "measured", "paired"]

PaperValues = Mapping[tuple[Key, str], Cell]
FALSE_ALARMS = 0.05  # of comparisons between equals that are found for or against


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of values of one column, of which a claim says that it is positive.

    Args:
        what: In words.
        measure: Whose values; the sum is turned so that positive means better, whichever way the measure goes.
        terms: Weights and cells, all with the same setup and column.
    """

    what: str
    measure: str
    terms: tuple[tuple[float, Key], ...]

    def __add__(self, other: "Contrast") -> "Contrast":
        """Both sums together."""
        return Contrast(f"{self.what}, {other.what}", self.measure, self.terms + other.terms)

    def __neg__(self) -> "Contrast":
        """The same with all signs turned."""
        return Contrast(f"less that of {self.what}", self.measure, tuple((-weight, key) for weight, key in self.terms))

    def by(self, measure: str) -> "Contrast":
        """The same comparison by another measure."""
        turn = sign(measure) * sign(self.measure)
        return Contrast(self.what, measure, tuple((turn * weight, key) for weight, key in self.terms))

    @property
    def where(self) -> str:
        """Setup and column."""
        key = self.terms[0][1]
        return f"{key.setup}, {key.column}"


@dataclass(frozen=True)
class Difference:
    """A contrast of our values.

    Attributes:
        value: The difference.
        error: Its standard error.
        pairing: What it was paired over, in words.
        degrees_of_freedom: Of the error; infinite where it was not estimated from the differences themselves.
    """

    value: float
    error: float
    pairing: str
    degrees_of_freedom: float = math.inf

    @property
    def finding(self) -> str:
        """`for`, `against`, or `undecided` where a t-test at 5%, two-sided, cannot tell it from zero."""
        clear = stats.t.ppf(1.0 - FALSE_ALARMS / 2.0, self.degrees_of_freedom)
        if abs(self.value) <= clear * self.error or self.value == 0.0:
            return "undecided"
        return "for" if self.value > 0 else "against"


def by_key(cells: list[Cell]) -> dict[tuple[Key, str], Cell]:
    """The paper's cells by what identifies them; where two tables give the same cell, the first."""
    return {(cell.key, cell.measure): cell for cell in reversed(cells)}


def gain(better: Key, worse: Key, measure: str, what: str = "") -> Contrast:
    """By how much `better` is better than `worse`."""
    words = f"{label(better.method, better.stream)} over {label(worse.method, worse.stream)}"
    direction = sign(measure)
    return Contrast(what or words, measure, ((direction, worse), (-direction, better)))


def measured(contrast: Contrast, study: Study) -> Difference | None:
    """Our value of a contrast; None if a term is missing or not finite, or if presets differ.

    On real tables it is paired by table, over all tables that the terms share; else by seed, if the terms share two or
    more; else by test dataset, all methods answering the same, where the rows of a seed have a value of each. Without
    that the terms' errors are taken as independent, which is cautious.
    """
    if len({study.preset(key) for _, key in contrast.terms}) > 1:
        return None
    weights = [weight for weight, _ in contrast.terms]
    found = None
    for what, values in (("tables", study.by_table), ("seeds", study.mean_by_seed), ("datasets", study.by_dataset)):
        found = found or paired(weights, [values(key, contrast.measure) for _, key in contrast.terms], what)
    found = found or _independent(contrast, study)
    return found if found and math.isfinite(found.value) else None


def paired(weights: Sequence[float], values: Sequence[Mapping[Any, float]], what: str) -> Difference | None:
    """Over the entries that all terms have; None if there are not two."""
    shared = sorted(set.intersection(*(set(each) for each in values)))
    if len(shared) < 2:
        return None
    sums = [sum(w * each[name] for w, each in zip(weights, values, strict=True)) for name in shared]
    error = float(np.std(sums, ddof=1) / math.sqrt(len(sums)))
    return Difference(float(np.mean(sums)), error, f"{len(sums)} {what}", len(sums) - 1)


def _independent(contrast: Contrast, study: Study) -> Difference | None:
    estimates = [study.estimate(key, contrast.measure) for _, key in contrast.terms]
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < len(estimates):
        return None
    weights = [weight for weight, _ in contrast.terms]
    value = sum(w * e.value for w, e in zip(weights, known, strict=True))
    error = math.hypot(*(w * max(e.error, e.dataset_error) for w, e in zip(weights, known, strict=True)))
    return Difference(value, error, "1 seed")


def in_paper(contrast: Contrast, paper: PaperValues) -> float | None:
    """The paper's value of a contrast; None if it lacks a term."""
    cells = [paper.get((key, contrast.measure)) for _, key in contrast.terms]
    if any(cell is None for cell in cells):
        return None
    return sum(weight * cell.value for (weight, _), cell in zip(contrast.terms, cells, strict=True) if cell)
