"""Posteriors as frames: a line for each scalar latent, a line for each dataset."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from posterity.results.summary import Summary

__all__ = ["STATISTICS", "VERDICTS", "FrameRows", "summary_frame"]

STATISTICS = ("mean", "sd", "q05", "q50", "q95")
_LATENTS = {"name": pl.String, "latent": pl.String, **dict.fromkeys(STATISTICS, pl.Float64)}
VERDICTS = {
    "name": pl.String,
    "num_rows": pl.Int64,
    "verdict": pl.String,
    "pareto_k": pl.Float64,
    "ess": pl.Float64,
    "log_evidence": pl.Float64,
    "reasons": pl.List(pl.String),
}


def summary_frame(summary: Summary) -> pl.DataFrame:
    """`latent`, `mean`, `sd`, `q05`, `q50`, `q95`, one line for each scalar latent."""
    lines = [{"latent": label, **statistics} for label, statistics in summary.items()]
    return pl.DataFrame(lines, schema={name: kind for name, kind in _LATENTS.items() if name != "name"})


class FrameRows:
    """Lines of two frames, gathered from the JSON entries of posteriors."""

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()):
        """Lines of some posteriors.

        Args:
            entries: As from `posterior_to_json`.
        """
        self._verdicts: list[dict[str, Any]] = []
        self._latents: list[dict[str, Any]] = []
        for entry in entries:
            self.add(entry)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Adds the lines of one posterior."""
        evidence = entry.get("log_evidence") or {"value": None}
        self._verdicts.append({name: entry.get(name) for name in VERDICTS} | {"log_evidence": evidence["value"]})
        in_table_units = entry.get("table_units", {})
        for label, statistics in entry["latents"].items():
            own = {f"table_{name}": value for name, value in in_table_units.get(label, {}).items()}
            self._latents.append({"name": entry["name"], "latent": label, **statistics, **own})

    @property
    def verdicts(self) -> pl.DataFrame:
        """One line for each dataset: rows, verdict, k-hat, effective sample size, log evidence (nats), reasons."""
        return pl.DataFrame(self._verdicts, schema=VERDICTS)

    @property
    def latents(self) -> pl.DataFrame:
        """One line for each dataset and scalar latent; beside its numbers those in the table's units, where known."""
        if not self._latents:
            return pl.DataFrame(schema=_LATENTS)
        return pl.DataFrame(self._latents, schema_overrides=_LATENTS, infer_schema_length=None)

    def to_frame(self) -> pl.DataFrame:
        """Both as one: every latent with the verdict of its dataset; one line for a dataset without an answer."""
        return self.verdicts.join(self.latents, on="name", how="left", maintain_order="left", nulls_equal=True)
