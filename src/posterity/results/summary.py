"""Means, standard deviations and quantiles of weighted draws, and their JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.plain import without_nan
from posterity.results.answer import Answer

__all__ = ["Summary", "answer_to_json", "summarise", "summarise_answer"]

Summary = dict[str, dict[str, float]]
"""Label of a scalar latent to its `mean`, `sd`, `q05`, `q50` and `q95`."""

_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def summarise(
    draws: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    log_weights: np.ndarray | None = None,
) -> Summary:
    r"""Moments and quantiles of every scalar latent under the weighted empirical distribution of the draws.

    mean = $\sum_s w_s x_s$ and sd = $(\sum_s w_s (x_s - \mathrm{mean})^2)^{1/2}$. The quantile function
    interpolates linearly between the sorted draws, of which draw s sits at $\sum_{r<s} w_r + w_s/2$; with
    equal weights that is `numpy.quantile(..., method="hazen")`, which differs from NumPy's default by at
    most half the gap between neighbouring draws.

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
            summary[label] = _moments_and_quantiles(column[weights > 0.0], weights[weights > 0.0])
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


def _moments_and_quantiles(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Statistics of one scalar latent; `weights` are positive and sum to 1."""
    if not np.isfinite(values).all():
        return dict.fromkeys(("mean", "sd", *_QUANTILES), float("nan"))
    mean = weights @ values
    sd = np.sqrt(weights @ (values - mean) ** 2)
    order = np.argsort(values)
    ordered = weights[order]
    positions = np.cumsum(ordered) - ordered / 2.0
    quantiles = np.interp(list(_QUANTILES.values()), positions, values[order])
    return {"mean": float(mean), "sd": float(sd), **dict(zip(_QUANTILES, quantiles.tolist(), strict=True))}


def _json_summary(summary: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {label: _finite(statistics) for label, statistics in summary.items()}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite_or_none(value) for name, value in values.items()}


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
