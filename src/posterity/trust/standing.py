"""What a trained estimator has shown of itself, apart from the dataset at hand: its validation, and a check if any.

Importance weights see what q does where it has draws. That q has draws wherever the posterior is, they cannot see: for
this there are datasets whose latents are known.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Standing"]

LEAST_ESS, LEAST_HEALTHY = 0.1, 0.5
MOST_KL = -math.log(LEAST_ESS)
"""Nats. Log weights that are normal with variance v leave exp(-v) of the draws effective, and KL(p‖q) + KL(q‖p) = v."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a trained estimator did on datasets that it was not trained on.

    Attributes:
        ess_fraction: Median effective sample size as a share of the draws; None where it was never validated.
        healthy: Share of these datasets whose k-hat is within its limit.
        symmetric_kl: Mean of KL(p‖q) + KL(q‖p), in nats; None where the latents that made them were not known.
        num_datasets: How many they were.
        calibration: What `posterity.check` came to; None where it was not run, or not kept.
    """

    ess_fraction: float | None = None
    healthy: float = 0.0
    symmetric_kl: float | None = None
    num_datasets: int = 0
    calibration: str | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Standing":
        """The standing that the record of a trained estimator tells."""
        validation = (record.get("training") or {}).get("validation") or {}
        names = [field.name for field in dataclasses.fields(cls) if field.name in validation]
        outcome = (record.get("calibration") or {}).get("outcome")
        return cls(**{name: validation[name] for name in names}, calibration=outcome)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a healthy weight is not enough, in parts of a sentence; empty if nothing speaks against the estimator."""
        if self.ess_fraction is None:
            found = ["it was never validated"]
        else:
            found = [
                *(["few of its draws are effective"] if self.ess_fraction < LEAST_ESS else []),
                *(["the weights of most datasets are unhealthy"] if self.healthy < LEAST_HEALTHY else []),
            ]
        if self.symmetric_kl is not None and not self.symmetric_kl <= MOST_KL:
            found.append("it misses the latents that made the data")
        if self.calibration not in (None, "calibrated"):
            found.append(f"checked, it is {self.calibration}")
        return tuple(found)

    @property
    def sentence(self) -> str:
        """All of it in one sentence, good or bad."""
        if self.ess_fraction is None:
            shown = "it was never validated"
        else:
            kl = "" if self.symmetric_kl is None else f", KL(p|q) + KL(q|p) {self.symmetric_kl:.2g} nats"
            shown = (
                f"on {self.num_datasets} held-out datasets a median ESS of {self.ess_fraction:.0%} of the draws, a "
                f"healthy k-hat in {self.healthy:.0%}{kl}"
            )
        checked = "not checked by posterity check" if self.calibration is None else f"by its check {self.calibration}"
        return f"The estimator itself: {shown}; {checked}."
