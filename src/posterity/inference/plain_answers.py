"""Corrected answers to many datasets as columns of numbers, and the entries and frames that are made of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from posterity.results.frames import STATISTICS, VERDICTS

__all__ = ["PlainAnswers"]


@dataclasses.dataclass(frozen=True, eq=False)
class PlainAnswers:
    """Corrected answers to some datasets of many.

    Attributes:
        which: Places of the datasets that are answered, ascending.
        num_rows: Rows of each.
        pareto_k: k-hat of each.
        ess: Effective sample size of each, in draws.
        log_evidence: Of each, in nats.
        evidence_error: Standard error of that.
        labels: Of the scalar latents.
        statistics: Mean, sd and quantiles of each scalar, in the usual units.
        table_statistics: The same in those of the table, where they are told beside.
        reasons: Place -> sentences, where there are any.
        by_sums: True where few rows of the same sums stood for all.
    """

    which: Int[np.ndarray, " answer"]
    num_rows: Int[np.ndarray, " answer"]
    pareto_k: Float[np.ndarray, " answer"]
    ess: Float[np.ndarray, " answer"]
    log_evidence: Float[np.ndarray, " answer"]
    evidence_error: Float[np.ndarray, " answer"]
    labels: tuple[str, ...]
    statistics: Float[np.ndarray, "answer scalar statistic"]
    table_statistics: Float[np.ndarray, "answer scalar statistic"] | None
    reasons: Mapping[int, tuple[str, ...]]
    by_sums: Bool[np.ndarray, " answer"]

    def entry(self, k: int, name: str) -> dict[str, Any]:
        """The k-th answer as `posterior_to_json` has it."""
        evidence = {"value": float(self.log_evidence[k]), "standard_error": float(self.evidence_error[k])}
        entry: dict[str, Any] = {
            "name": name,
            "num_rows": int(self.num_rows[k]),
            "verdict": "corrected",
            "pareto_k": float(self.pareto_k[k]),
            "ess": float(self.ess[k]),
            "reasons": list(self.reasons.get(int(self.which[k]), ())),
            "latents": self._summary(self.statistics[k]),
            "log_evidence": evidence,
        }
        entry |= {"by_sums": True} if self.by_sums[k] else {}
        return (
            entry
            if self.table_statistics is None
            else {**entry, "table_units": self._summary(self.table_statistics[k])}
        )

    def _summary(self, statistics: np.ndarray) -> dict[str, dict[str, float]]:
        rows = zip(self.labels, statistics.tolist(), strict=True)
        return {label: dict(zip(STATISTICS, row, strict=True)) for label, row in rows}

    def to_frame(self, names: Sequence[str]) -> pl.DataFrame:
        """As `FrameRows.to_frame`, and the `place` of each dataset.

        Args:
            names: Of all datasets.
        """
        number, scalars = self.statistics.shape[:2]
        verdicts = pl.DataFrame(
            {
                "place": self.which,
                "name": [names[i] for i in self.which],
                "num_rows": self.num_rows,
                "verdict": ["corrected"] * number,
                "pareto_k": self.pareto_k,
                "ess": self.ess,
                "log_evidence": self.log_evidence,
                "reasons": [list(self.reasons.get(i, ())) for i in self.which.tolist()],
            },
            schema={"place": pl.Int64, **VERDICTS},
        )
        by_latent = verdicts[np.repeat(np.arange(number), scalars)]
        columns = {"latent": pl.Series(list(self.labels) * number, dtype=pl.String)}
        for prefix, found in (("", self.statistics), ("table_", self.table_statistics)):
            if found is not None:
                columns |= {f"{prefix}{name}": np.reshape(found[:, :, k], -1) for k, name in enumerate(STATISTICS)}
        return by_latent.with_columns(**columns)
