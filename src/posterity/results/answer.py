"""What `infer` returns for one dataset: draws, their weights, and how far to trust them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posterity.trust import ImportanceWeights, Verdict

__all__ = ["Answer"]


@dataclass(frozen=True, eq=False)
class Answer:
    """Posterior of one dataset, as numbers only: no network, no model.

    Attributes:
        model: Name of the model.
        num_rows: Rows of the dataset.
        group: The dataset's value of the grouping column; None where the table was not grouped.
        draws: Latent site to draws of q in the site's support, shape `(draw, *site_shape)`, active entries
            only.
        labels: Latent site to one label per scalar entry in C order: `("w[bmi]", "w[age]")`; `("sigma",)` for
            a scalar.
        dims: Site (latent or observed) to the names of its axes after `draw`; a site without an entry gets
            names of its own.
        coords: Axis name to the values along it, such as the columns' names.
        log_q: Log density of q at each draw, unconstrained, in nats, shape `(draw,)`.
        log_joint: Log prior + log likelihood + log-det of `constrain` at each draw, shape `(draw,)`.
        weights: Importance weights of the draws.
        verdict: How far to trust the answer.
        reasons: Full sentences with numbers.
        observed: The model's data arguments, rows first.
        seconds: Wall time that the answer took.
    """

    model: str
    num_rows: int
    group: str | None
    draws: Mapping[str, np.ndarray]
    labels: Mapping[str, tuple[str, ...]]
    dims: Mapping[str, tuple[str, ...]]
    coords: Mapping[str, Sequence[object]]
    log_q: np.ndarray
    log_joint: np.ndarray
    weights: ImportanceWeights
    verdict: Verdict
    reasons: tuple[str, ...]
    observed: Mapping[str, np.ndarray]
    seconds: float

    @property
    def num_draws(self) -> int:
        """Draws of q."""
        return self.log_q.size

    @property
    def trusted_log_weights(self) -> np.ndarray | None:
        """The log weights if the verdict is `corrected`; else None: take the draws as they are."""
        return self.weights.log_weights if self.verdict == "corrected" else None
