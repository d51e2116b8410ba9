"""Means, standard deviations and quantiles of weighted draws, and their JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.inference.answer import Answer
from posterity.runtime.plain import without_nan
from posterity.trust.moments import moments_and_quantiles

__all__ = ["Summary", "answer_to_json", "summarise", "summarise_answer"]

Summary = dict[str, dict[str, float]]
"""Label of a scalar latent to its `mean`, `sd`, `q05`, `q50` and `q95`."""

_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def summarise(
    draws: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    log_weights: np.ndarray | None = None,
) -> Summary:
    """Moments and quantiles of every scalar latent under the weighted draws; see `moments_and_quantiles`.

    Args:
        draws: Site to draws, shape `(draw, *site_shape)`.
        labels: Site to one label per scalar entry, in C order.
        log_weights: Shape `(draw,)`, up to a constant; None for equal weights. A draw of weight zero counts
            for nothing, whatever its value.

    Returns:
        One entry per label, in the order of the sites. All NaN where a draw that has weight is not finite.
    """
    summary: Summary = {}
    for site, values in draws.items():
        columns = np.asarray(values, dtype=np.float64).reshape(len(values), math.prod(np.shape(values)[1:]))
        weights = _weights(log_weights, len(columns))
        for label, column in zip(labels[site], columns.T, strict=True):
            mean, sd, quantiles = moments_and_quantiles(column, weights, list(_QUANTILES.values()))
            summary[label] = {"mean": mean, "sd": sd, **dict(zip(_QUANTILES, quantiles.tolist(), strict=True))}
    return summary


def summarise_answer(answer: Answer) -> Summary:
    """Summary of an answer: weighted where its verdict is `corrected`, of the draws as they are otherwise."""
    return summarise(answer.draws, answer.labels, answer.trusted_log_weights)


def answer_to_json(answer: Answer, original_units: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:
    """Entry of one dataset in the JSON that `infer --json` prints.

    JSON has no NaN and no infinity: they become null.

    Args:
        answer: The answer to one dataset.
        original_units: Summary of the same latents in the user's own units, where the model saw scaled
            columns.
    """
    entry: dict[str, Any] = {
        "group": answer.group,
        "num_rows": int(answer.num_rows),
        "verdict": answer.verdict,
        "pareto_k": _finite_or_none(answer.weights.pareto_k),
        "ess": _finite_or_none(answer.weights.ess),
        "reasons": list(answer.reasons),
        "latents": _json_summary(summarise_answer(answer)),
    }
    if answer.verdict == "corrected" and answer.log_q is not None:
        entry["log_evidence"] = _finite(dataclasses.asdict(answer.log_evidence()))
    if answer.refinement is not None:
        entry["refinement"] = without_nan(answer.refinement.to_json())
    if original_units is not None:
        entry["original_units"] = _json_summary(original_units)
    return entry


def _weights(log_weights: np.ndarray | None, num_draws: int) -> np.ndarray:
    if log_weights is None:
        return np.full(num_draws, 1.0 / num_draws)
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / weights.sum()


def _json_summary(summary: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {label: _finite(statistics) for label, statistics in summary.items()}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite_or_none(value) for name, value in values.items()}


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
