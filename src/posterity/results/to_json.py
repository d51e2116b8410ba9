"""A posterior as plain values that every reader of JSON accepts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.results.data import PosteriorData
from posterity.results.evidence import log_evidence
from posterity.results.summary import summarise_in_table_units, usual_summary
from posterity.runtime.plain import without_nan

__all__ = ["posterior_to_json"]


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
        "latents": _json_summary(usual_summary(posterior)),
    }
    if posterior.verdict == "corrected" and not posterior.model.improper_sites:
        evidence = log_evidence(posterior.log_joint, posterior.log_q)
        entry["log_evidence"] = _finite(dataclasses.asdict(evidence))
    if posterior.by_sums:
        entry["by_sums"] = True
    if posterior.standing is not None:
        entry["estimator"] = without_nan(dataclasses.asdict(posterior.standing))
    if posterior.refinement is not None:
        entry["refinement"] = without_nan(posterior.refinement.to_json())
    is_in_table_units = posterior.recipe is not None and posterior.recipe.units == "table"
    in_table_units = None if is_in_table_units else summarise_in_table_units(posterior)
    if in_table_units is not None:
        entry["table_units"] = _json_summary(in_table_units)
    return entry


def _json_summary(summary: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {label: _finite(statistics) for label, statistics in summary.items()}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite_or_none(value) for name, value in values.items()}


def _finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
