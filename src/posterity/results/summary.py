"""Means, standard deviations and quantiles of weighted draws, and their JSON."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.model.builtin import builtin_entry
from posterity.results.data import PosteriorData
from posterity.results.evidence import log_evidence
from posterity.runtime.plain import without_nan
from posterity.tables.scaling import regression_original_units
from posterity.trust.moments import moments_and_quantiles

__all__ = ["Summary", "posterior_to_json", "summarise", "summarise_in_table_units", "summarise_posterior"]

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


def summarise_posterior(posterior: PosteriorData) -> Summary:
    """Summary of the draws that the verdict allows, weighted where it is `corrected`."""
    draws, log_weights = posterior.weighted
    return summarise(draws, posterior.labels, log_weights)


def summarise_in_table_units(posterior: PosteriorData) -> Summary | None:
    """The same in the units of the table; None where they are the same or no way back is known."""
    recipe = posterior.recipe
    entry = builtin_entry(posterior.model.function)
    if entry is None or not entry.linear or recipe is None or recipe.scaling is None or not posterior.num_draws:
        return None
    draws, log_weights = posterior.weighted
    return summarise(regression_original_units(recipe.scaling, draws), posterior.labels, log_weights)


def posterior_to_json(posterior: PosteriorData) -> dict[str, Any]:
    """Entry of one dataset in the JSON that `infer --json` prints.

    JSON has no NaN and no infinity: they become null.
    """
    entry: dict[str, Any] = {
        "name": posterior.name,
        "num_rows": int(posterior.num_rows),
        "verdict": posterior.verdict,
        "pareto_k": _finite_or_none(posterior.pareto_k),
        "ess": _finite_or_none(posterior.ess),
        "reasons": list(posterior.reasons),
        "latents": _json_summary(summarise_posterior(posterior)),
    }
    if posterior.verdict == "corrected":
        evidence = log_evidence(posterior.log_joint, posterior.log_q)
        entry["log_evidence"] = _finite(dataclasses.asdict(evidence))
    if posterior.refinement is not None:
        entry["refinement"] = without_nan(posterior.refinement.to_json())
    in_table_units = summarise_in_table_units(posterior)
    if in_table_units is not None:
        entry["table_units"] = _json_summary(in_table_units)
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
