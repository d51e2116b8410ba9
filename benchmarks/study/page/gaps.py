"""What the paper lacks: predictive densities, calibration, weights, time, and the two gaps of amortized inference."""

import math
from dataclasses import dataclass

from report_text import table

from study.judging.paper_cells import NETWORKS, Key, label
from study.judging.values import Study
from study.page.words import entry, number

__all__ = ["Gap", "gaps", "gaps_section", "lacking_section"]

MEASURED = {
    "log_predictive": "log predictive",
    "loss_ensemble": "loss of the mean prediction",
    "accuracy_ensemble": "accuracy of the mean prediction",
    "coverage_90": "coverage of 90% intervals",
    "sbc_p": "SBC p-value",
    "ess": "ESS, share of draws",
    "pareto_k": "k-hat",
    "k_ok": "share with healthy k-hat",
}
TIMES = {"num_params": "weights", "train_seconds": "training s", "infer_ms": "ms per dataset"}


@dataclass(frozen=True)
class Gap:
    """What one network loses, in nats of the evidence lower bound, mean over datasets.

    Args:
        key: The network.
        amortization: Bound of the best member of its family for every dataset, less the network's. None: unknown.
        family: Log evidence, less the bound of the best member. None: unknown.
    """

    key: Key
    amortization: float | None
    family: float | None


def gaps(study: Study) -> list[Gap]:
    """The gaps of every network whose bound, or whose family's best, is known."""
    found = [_gap(study, key) for key in study if key.method in NETWORKS and key.setup != "tabular"]
    return [gap for gap in found if gap.amortization is not None]


def _gap(study: Study, key: Key) -> Gap:
    family = key.method.split("/")[1]
    network = _bound(study, key)
    best = _bound(study, Key(key.setup, key.column, f"best_{family}_reverse"))
    exact = _bound(study, Key(key.setup, key.column, "exact"))
    return Gap(key, _less(best, network), _less(exact, best))


def _bound(study: Study, key: Key) -> float | None:
    found = study.estimate(key, "elbo")
    return found.value if found is not None and math.isfinite(found.value) else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def gaps_section(study: Study) -> str:
    """Amortization gap beside family gap."""
    body = [
        [f"{gap.key.setup}, {gap.key.column}", label(*gap.key[2:]), number(gap.amortization), number(gap.family)]
        for gap in gaps(study)
    ]
    text = (
        "### Amortization gap and family gap\n\nBoth in nats per dataset. The amortization gap is the evidence lower "
        "bound of the family's best member, found for each dataset alone, less the network's bound; more training "
        "or a larger network can close it. The family gap is the log evidence less the best member's bound; only a "
        "richer family can."
    )
    header = ["task", "network", "amortization gap", "family gap"]
    return "\n\n".join([text, table(header, body) if body else "Not run."])


def lacking_section(study: Study) -> str:
    """Everything measured that the paper does not report, one line a method."""
    shown = [name for name in MEASURED if any(study.estimate(key, name) for key in study)]
    header = ["task", "method", *(MEASURED[name] for name in shown), *TIMES.values()]
    body = [
        [f"{key.setup}, {key.column}", label(*key[2:]), *(entry(study, key, name) for name in shown),
         *(_time(study, key, name) for name in TIMES)]
        for key in sorted(study, key=lambda key: (key.setup, key.column))
    ]  # fmt: skip
    text = (
        "## What the paper lacks\n\nLog predictive: of held-out rows, nats per row, draws averaged in probability. "
        "Healthy: k-hat below the limit for weights that can be trusted. ± is over seeds, or over test datasets where "
        "there is one seed."
    )
    return "\n\n".join([text, table(header, body) if body else "Not run.", gaps_section(study)])


def _time(study: Study, key: Key, name: str) -> str:
    found = [row[name] for row in study.rows(key) if row.get(name) is not None]
    mean = sum(found) / len(found) if found else None
    return f"{mean:,.0f}" if mean is not None and mean >= 1e3 else number(mean)
