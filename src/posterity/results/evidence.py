r"""The evidence of a dataset from the weights that corrected its posterior, and models compared by it.

$p(D) = E_q[p(z, D) / q(z)]$: the mean of the importance ratios of draws of q, whose standard error the same draws give.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from posterity.results.data import PosteriorData
from posterity.results.table import number_text
from posterity.runtime.errors import InputError

if TYPE_CHECKING:
    import polars as pl


__all__ = ["Evidence", "compare", "log_evidence", "log_evidences", "posterior_log_evidence"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Log evidence of one dataset under one model.

    Attributes:
        value: log p(D), in nats.
        standard_error: Of `value`, from the spread of the ratios (delta method), in nats.
    """

    value: float
    standard_error: float

    def __repr__(self) -> str:
        return f"Evidence(value={self.value:.7g}, standard_error={self.standard_error:.2g})"

    def __str__(self) -> str:
        return f"{number_text(self.value, self.standard_error)} +- {self.standard_error:.1g} nats"


def log_evidence(log_joint: Float[np.ndarray, " draw"], log_q: Float[np.ndarray, " draw"]) -> Evidence:
    """Log evidence of a dataset from draws of a q whose weights are healthy.

    Args:
        log_joint: At draws of q, in nats.
        log_q: At the same draws.
    """
    if log_joint.size == 1:
        return Evidence(float(log_joint.astype(np.float64)[0] - log_q[0]), float("nan"))
    values, errors = log_evidences((log_joint.astype(np.float64) - log_q)[None])
    return Evidence(float(values[0]), float(errors[0]))


def log_evidences(
    log_ratios: Float[np.ndarray, "dataset draw"],
) -> tuple[Float[np.ndarray, " dataset"], Float[np.ndarray, " dataset"]]:
    """`log_evidence` of many datasets: values and standard errors.

    Args:
        log_ratios: log p(z, D) - log q(z) of each draw; two or more.
    """
    largest = log_ratios.max(axis=1, keepdims=True)
    scaled = np.exp(log_ratios - largest)
    mean = scaled.mean(axis=1)
    return largest[:, 0] + np.log(mean), scaled.std(axis=1, ddof=1) / mean / np.sqrt(log_ratios.shape[1])


def posterior_log_evidence(posterior: PosteriorData) -> Evidence:
    """Log evidence of the dataset that a posterior belongs to.

    Raises:
        InputError: The weights are unhealthy, so that no mean of theirs can be relied on; or a prior is improper.
    """
    if improper := posterior.model.improper_sites:
        raise InputError(
            f"log evidence of '{posterior.model.name}': the prior of '{improper[0]}' is improper, so that the evidence "
            "is known but for a factor that nothing decides; give it a proper one"
        )
    if posterior.verdict != "corrected":
        why = posterior.reasons[0] if posterior.reasons else ""
        raise InputError(
            f"log evidence of '{posterior.model.name}': the posterior is {posterior.verdict}, and only the weights of "
            f"a corrected one give it. {why} More draws may help"
        )
    return log_evidence(posterior.log_joint, posterior.log_q)


def compare(posteriors: Mapping[str, PosteriorData]) -> "pl.DataFrame":
    """Models of one dataset by their evidence, best first.

    Args:
        posteriors: Name -> posterior; at least two, all corrected, all of the same data.

    Returns:
        Columns `model`, `log_evidence` and `standard_error` (nats), `log_bayes_factor` against the best model (nats,
        at most 0) and `probability` of each model if all were equally probable before.

    Raises:
        InputError: There are fewer than two, some was not corrected, or they belong to different data.
    """
    import polars as pl

    if len(posteriors) < 2:
        raise InputError(f"compare: expected at least two posteriors by name; got {len(posteriors)}")
    (first_name, first), *others = posteriors.items()
    for name, other in others:
        if not _same_data(first, other):
            raise InputError(
                f"compare: '{first_name}' and '{name}' belong to different data; evidence can be compared on the same "
                "target values only, in the same units (z-scored in both or in neither)"
            )
    found = {name: posterior_log_evidence(posterior) for name, posterior in posteriors.items()}
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


def _same_data(first: PosteriorData, other: PosteriorData) -> bool:
    """Whether two posteriors' models observe the same values, whatever their arguments are called."""
    mine, theirs = (list((p.observed or p.data).values()) for p in (first, other))  # a factor observes no argument
    return len(mine) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
