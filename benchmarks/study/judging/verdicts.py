"""Whether a cell of the paper is reproduced: the one place where this is decided.

Expected loss and accuracy average over single posterior draws, which rewards answers that are too narrow. A value that
is better than the exact posterior's therefore comes from a worse posterior, and never counts as an improvement.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from study.judging.paper_cells import NETWORKS, Cell, Key, label, paper_steps
from study.judging.values import Estimate, Study

__all__ = [
    "MEASURES",
    "RULE",
    "WORDS",
    "Reference",
    "Verdict",
    "judge",
    "judge_value",
    "reference_of",
    "sign",
    "tolerance",
]

WORDS = ("reproduced", "improved", "not reproduced", "not comparable", "not run")
MEASURES = {
    "loss": "expected predictive L2, lower is better",
    "accuracy": "expected accuracy in percent, higher is better",
    "symmetric_kl_per_latent": "symmetric KL per latent in nats, lower is better",
    "w2": "2-Wasserstein distance, lower is better",
}
PAPER_TABLES = {"loss": 9, "accuracy": 13}  # real tables that the paper averages over
AVERAGED_OVER_DRAWS = ("loss", "accuracy")
STANDARD_ERRORS, RELATIVE, POINTS, WIDE = 3.0, 0.05, 2.0, 0.25
RULE = (
    "**Reproduced**: our value is within three combined standard errors of the paper's, or within 5% of it (accuracy: "
    "2 points), or within its rounding, whichever is widest. **Improved**: outside, better in the measure's direction "
    "and, where there is an exact posterior or a converged NUTS run, nearer to its value than the paper's is. "
    "**Not reproduced**: all else outside. **Not comparable**: ours averages over fewer real tables than the paper's. "
    "**Not run**: no row. The combined error takes the paper's ± as it stands "
    "and of ours the larger of the error over seeds and the error over test datasets, which are drawn anew here (real "
    "tables are the paper's, so there it is the error over seeds alone); where that makes the tolerance wider than a "
    "quarter of the paper's value, the reason says so. A draw from the prior can only be reproduced or not."
)


@dataclass(frozen=True)
class Verdict:
    """One of `WORDS`, and why; `wide` where the tolerance is too wide for the word to say much."""

    word: str
    reason: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Reference:
    """The value to expect of the right answer; `exact` if it is the posterior's own."""

    method: str
    value: float
    exact: bool


def sign(measure: str) -> int:
    """1 where lower is better, -1 where higher is."""
    return -1 if measure in ("accuracy", "accuracy_ensemble", "log_predictive", "elbo") else 1


def reference_of(study: Study, setup: str, column: str, measure: str) -> Reference | None:
    """The exact posterior's value, else a converged NUTS run's, else the best member of a family.

    Divergences have no such value: there, what the best diagonal Gaussian leaves, or the floor that a finite number
    of draws sets.
    """
    if measure == "w2":
        floors = (study.estimate(key, "w2_floor") for key in study if key[:2] == (setup, column))
        return next((Reference("floor", floor.value, False) for floor in floors if floor), None)
    exact = ["exact"] + ["nuts"] * bool(study.nuts_converged(setup, column))
    best = ["best_flow_reverse", "best_diagonal_reverse", "best_diagonal_forward"]
    for method in exact + best if measure in AVERAGED_OVER_DRAWS else best[1:]:
        found = study.estimate(Key(setup, column, method), measure)
        if found is not None and math.isfinite(found.value):
            return Reference(method, found.value, method in exact)
    return None


def tolerance(cell: Cell, ours: Estimate) -> float:
    """How far our value may lie from the paper's."""
    error = ours.error if ours.num_seeds > 1 else 0.0
    if cell.setup != "tabular":
        error = max(error, ours.dataset_error)
    least = POINTS if cell.measure == "accuracy" else RELATIVE * abs(cell.value)
    return max(STANDARD_ERRORS * math.hypot(error, cell.error or 0.0), least, cell.rounding)


def judge(cell: Cell, study: Study) -> Verdict:
    """The verdict on one cell, by `RULE`."""
    return judge_value(cell, study, cell.key)


def judge_value(cell: Cell, study: Study, key: Key) -> Verdict:
    """The verdict on a number of the paper, given what our method at `key` reaches."""
    ours = study.estimate(key, cell.measure)
    if ours is None:
        return Verdict("not run")
    if not math.isfinite(ours.value):
        return Verdict("not reproduced", "our value is not finite")
    if cell.setup == "tabular" and (missing := _missing_tables(cell, study, key)):
        return Verdict("not comparable", missing)
    allowed = tolerance(cell, ours)
    if abs(ours.value - cell.value) <= allowed:
        wide = allowed > WIDE * abs(cell.value) and allowed > cell.rounding
        return Verdict("reproduced", f"within {allowed:.3g}" + wide * ", too wide to tell much", wide)
    reference = reference_of(study, cell.setup, cell.column, cell.measure)
    better = sign(cell.measure) * (cell.value - ours.value) > 0 and cell.method != "prior"
    if better and _nearer(cell, ours, reference):
        return Verdict("improved", _why_improved(cell, reference))
    return Verdict("not reproduced", "; ".join(_why_not(cell, ours, reference, study, key)) or "no reason found")


def _missing_tables(cell: Cell, study: Study, key: Key) -> str:
    """What keeps our average over real tables from being compared; empty if nothing does."""
    ours, papers = study.num_tables(key), PAPER_TABLES[cell.measure]
    if ours is None or ours >= papers:
        return ""
    return (
        f"ours averages over {ours} of the paper's {papers} tables" if ours > 1 else "ours averages over other tables"
    )


def _nearer(cell: Cell, ours: Estimate, reference: Reference | None) -> bool:
    if reference is None or not reference.exact:
        return True
    return abs(ours.value - reference.value) < abs(cell.value - reference.value)


def _why_improved(cell: Cell, reference: Reference | None) -> str:
    if reference is not None and reference.exact:
        return f"nearer to the value of: {label(reference.method)}"
    if cell.measure in AVERAGED_OVER_DRAWS:
        return "no exact reference, and the measure also rewards under-dispersion"
    return "the paper measures to its Langevin draws" if cell.measure == "w2" else ""


def _why_not(cell: Cell, ours: Estimate, reference: Reference | None, study: Study, key: Key) -> Iterator[str]:
    """Whatever is known to set the two values apart."""
    if cell.method == "prior":
        yield "nothing is trained here: the task or its test datasets differ"
    if reference is not None and reference.exact:
        yield from _against_exact(cell, ours, reference)
    steps, papers = study.steps(key), paper_steps(cell.setup, cell.column)
    if key.method in NETWORKS and steps and papers and steps < papers:
        yield f"trained {steps:,} steps against the paper's {papers:,}"
    if cell.measure == "w2":
        floor = f", and finite draws alone set ours {reference.value:.3g} apart" if reference else ""
        yield f"the paper measures to its Langevin draws{floor}"
    if study.nuts_converged(cell.setup, cell.column) is False:
        yield "reference did not converge"


def _against_exact(cell: Cell, ours: Estimate, exact: Reference) -> Iterator[str]:
    allowed, direction = tolerance(cell, ours), sign(cell.measure)
    beyond = {whose: direction * (exact.value - value) > allowed
              for whose, value in (("the paper's", cell.value), ("our", ours.value))}  # fmt: skip
    side = "below" if direction > 0 else "above"
    for whose in (whose for whose, found in beyond.items() if found):
        yield f"{whose} value lies {side} the exact posterior's: {_measure_name(cell)} rewards under-dispersion"
    if _nearer(cell, ours, exact):
        yield f"ours is nearer to: {label(exact.method)}"


def _measure_name(cell: Cell) -> str:
    return "expected loss" if cell.measure == "loss" else "expected accuracy"
