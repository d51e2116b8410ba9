r"""The evidence of a dataset from the weights that corrected its posterior, and models compared by it.

$p(D) = E_q[p(z, D) / q(z)]$: the mean of the importance ratios of draws of q, whose standard error the same draws give.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from posterity.runtime.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from posterity.inference.answer import Answer

__all__ = ["Evidence", "compare", "log_evidence"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Log evidence of one dataset under one model.

    Attributes:
        value: log p(D), in nats.
        standard_error: Of `value`, from the spread of the ratios (delta method), in nats.
    """

    value: float
    standard_error: float


def log_evidence(answer: "Answer") -> Evidence:
    """Log evidence of the dataset that an answer belongs to.

    Raises:
        InputError: The weights are unhealthy, so that no mean of theirs can be relied on.
    """
    if answer.log_q is None or answer.verdict != "corrected":
        why = answer.reasons[0] if answer.reasons else "its draws are not those of q."
        raise InputError(
            f"log evidence of '{answer.model}': the answer is {answer.verdict}, and only the weights of a corrected "
            f"one give it. {why} More draws may help"
        )
    ratios = answer.log_joint.astype(np.float64) - answer.log_q
    largest = ratios.max()
    scaled = np.exp(ratios - largest)
    mean = scaled.mean()
    return Evidence(
        value=float(largest + np.log(mean)),
        standard_error=float(scaled.std(ddof=1) / mean / np.sqrt(scaled.size)) if scaled.size > 1 else float("nan"),
    )


def compare(answers: Mapping[str, "Answer"]) -> "pl.DataFrame":
    """Models of one dataset by their evidence, best first.

    Args:
        answers: Name to answer; at least two, all corrected, all to the same data.

    Returns:
        Columns `model`, `log_evidence` and `standard_error` (nats), `log_bayes_factor` against the best model (nats,
        at most 0) and `probability` of each model if all were equally probable before.

    Raises:
        InputError: There are fewer than two, some was not corrected, or they answer different data.
    """
    import polars as pl

    if len(answers) < 2:
        raise InputError(f"compare: expected at least two answers by name; got {len(answers)}")
    (first_name, first), *others = answers.items()
    for name, other in others:
        if not _same_data(first, other):
            raise InputError(
                f"compare: '{first_name}' and '{name}' answer different data; evidence can be compared on the same "
                "target values only, in the same units (z-scored in both or in neither)"
            )
    found = {name: log_evidence(answer) for name, answer in answers.items()}
    values = np.array([evidence.value for evidence in found.values()])
    odds = np.exp(values - values.max())
    table = pl.DataFrame(
        {
            "model": list(found),
            "log_evidence": values,
            "standard_error": [evidence.standard_error for evidence in found.values()],
            "log_bayes_factor": values - values.max(),
            "probability": odds / odds.sum(),
        }
    )
    return table.sort("log_evidence", descending=True)


def _same_data(first: "Answer", other: "Answer") -> bool:
    """Whether two answers observe the same values, whatever their arguments are called."""
    mine, theirs = list(first.observed.values()), list(other.observed.values())
    return len(mine) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
