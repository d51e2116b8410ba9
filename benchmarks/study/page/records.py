"""The paper's best numbers on chosen work, and whether ours beat them."""

from collections.abc import Sequence

from report_text import table

from study.judging.contrasts import PaperValues, by_key
from study.judging.paper_cells import NETWORKS, Cell, Key, label
from study.judging.values import Study
from study.judging.verdicts import Reference, judge_value, reference_of, sign
from study.page.words import number, ours, paper

__all__ = ["records_section"]

RECORDS = (
    ("fixed", "LR 100D", "symmetric_kl_per_latent"),
    ("fixed", "LR 100D", "loss"),
    ("fixed", "LC 100D", "accuracy"),
    ("tabular", "LR", "loss"),
    ("tabular", "LC", "accuracy"),
    ("fixed", "GMM 5D 2cl", "w2"),
)
ANSWERS = (*NETWORKS, "informed")
SAMPLERS = ("mle", "langevin", "hmc")
BESIDE = ("exact", "nuts", "map", "ridge", "best_diagonal_reverse", "best_diagonal_forward", "best_flow_reverse",
          "predict_mean", "majority")  # fmt: skip
VOTING = ("nuts", "informed")


def records_section(study: Study, cells: Sequence[Cell]) -> str:
    """One line a record: the paper's best network against our best answer."""
    values = by_key(list(cells))
    header = ["work", "measure", "paper's best network", "paper's others", "our best network", "informed", "beside",
              "verdict", "reason"]  # fmt: skip
    text = (
        "## Beaten on the same work\n\nThe paper's best network in the measure's direction, against our best answer: "
        "of our networks and the informed posterior the one nearest to the exact posterior's value, where there is an "
        "exact posterior or a converged NUTS run and the measure rewards under-dispersion, and otherwise the best in "
        "the measure's direction. The verdict is on the better of the two."
    )
    return "\n\n".join([text, table(header, [_line(study, values, *record) for record in RECORDS])])


def _line(study: Study, values: PaperValues, setup: str, column: str, measure: str) -> list[str]:
    cells = {key.method: cell for (key, name), cell in values.items() if (*key[:2], name) == (setup, column, measure)}
    record = min((cells[m] for m in NETWORKS if m in cells), key=lambda cell: sign(measure) * cell.value)
    others = [f"{label(m)} {cells[m].printed}" for m in SAMPLERS if m in cells]
    reference = reference_of(study, setup, column, measure)
    network = _best(study, setup, column, measure, NETWORKS, reference)
    best = _best(study, setup, column, measure, ANSWERS, reference)
    verdict = judge_value(record, study, best or record.key)
    return [
        f"{setup}, {column}", measure, f"{paper(record)} ({label(record.method)})", "; ".join(others),
        f"{ours(study.estimate(network, measure))}, {label(network.method)}" if network else "not run",
        ours(study.estimate(Key(setup, column, "informed"), measure)), _beside(study, setup, column, measure),
        verdict.word, verdict.reason,
    ]  # fmt: skip


def _best(
    study: Study, setup: str, column: str, measure: str, methods: Sequence[str], reference: Reference | None
) -> Key | None:
    exact = reference.value if reference and reference.exact else None
    found = {key: e.value for m in methods if (e := study.estimate(key := Key(setup, column, m), measure))}
    if not found:
        return None
    return min(found, key=lambda k: sign(measure) * found[k] if exact is None else abs(found[k] - exact))


def _beside(study: Study, setup: str, column: str, measure: str) -> str:
    found = [(m, study.estimate(Key(setup, column, m), measure)) for m in BESIDE]
    told = [f"{label(method)} {number(estimate.value)}" for method, estimate in found if estimate]
    return "; ".join(told + (_votes(study, setup, column) if measure == "accuracy" else []))


def _votes(study: Study, setup: str, column: str) -> list[str]:
    """Accuracy where all draws of an answer vote, which is what one would use, and which a single draw cannot have."""
    found = [(m, study.estimate(Key(setup, column, m), "accuracy_ensemble")) for m in VOTING]
    return [f"all draws of {label(method)} voting {number(estimate.value)}" for method, estimate in found if estimate]
