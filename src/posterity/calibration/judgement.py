"""Four judges look at the posteriors of many simulated datasets: SBC, TARP, C2ST, and coverage for the eye."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from posterity.calibration.c2st import C2st, c2st
from posterity.calibration.comparison import Comparison
from posterity.calibration.contraction import z_score
from posterity.calibration.uniformity import uniformity_p_value

__all__ = [
    "FALSE_ALARM",
    "LOG_JOINT",
    "Coverage",
    "Judgement",
    "central_coverage",
    "fewest_datasets",
    "judge_posteriors",
]

FALSE_ALARM = 1e-3
"""Of one cell, whatever its number of latents, where the posterior is exact."""
JUDGES = 3
LOG_JOINT = "log joint"
INTERVALS = (0.5, 0.9)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How often central intervals hold the latents that made the data; the nominal share if the posterior is right.

    Attributes:
        mean: Share found, averaged over latents.
        error: Binomial standard error of one latent's share, sqrt(p (1 - p) / datasets). That of the mean over
            latents is no larger.
        lowest: Smallest share among latents.
        highest: Largest share among latents.
    """

    mean: float
    error: float
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the judges say of the posteriors of many datasets of one size.

    Attributes:
        num_datasets: Datasets that were judged.
        coverage: "50" and "90" -> coverage of that central interval.
        sbc_p_value: P-value of uniform ranks: the smallest among all latents and the log joint, times their number.
        sbc_latent: Which has it.
        tarp_p_value: P-value of uniform distance ranks.
        c2st: How well a classifier tells truths from draws.
        z_score: Root mean square of (posterior mean - truth) / posterior sd over datasets and latents; 1 if right.
    """

    num_datasets: int
    coverage: Mapping[str, Coverage]
    sbc_p_value: float
    sbc_latent: str
    tarp_p_value: float
    c2st: C2st
    z_score: float

    @property
    def p_value(self) -> float:
        """Smallest p-value of SBC, TARP and C2ST, times three (Bonferroni)."""
        return min(1.0, JUDGES * min(self.sbc_p_value, self.tarp_p_value, self.c2st.p_value))

    @property
    def calibrated(self) -> bool:
        """Whether no judge objects; an exact posterior is wronged once in 1000 times at most."""
        return self.p_value >= FALSE_ALARM


def fewest_datasets(num_latents: int) -> int:
    """Datasets that the judges need: with fewer, no objection says little.

    SBC then sees in 9 of 10 checks that one latent's posterior is twice as wide as it should be, the hardest of the
    usual errors, at its share of the false-alarm rate; half as wide takes fewer. The share falls with the number of
    latents, and the number of datasets grows with its logarithm: 110 for one latent, 140 for 15.

    Args:
        num_latents: Scalar latents.
    """
    return int(np.ceil(100.0 + 10.0 * np.log2(num_latents + 1.0)))


def judge_posteriors(found: Comparison, labels: Sequence[str], generator: np.random.Generator) -> Judgement:
    """Judges the posteriors of independent datasets.

    Args:
        found: Comparisons of all datasets, stacked.
        labels: Of the scalar latents.
        generator: Guesses for the classifier where it cannot tell.
    """
    columns = np.column_stack([found.ranks, found.log_joint_rank])
    p_values = [uniformity_p_value(column) for column in columns.T]
    worst = int(np.argmin(p_values))
    return Judgement(
        num_datasets=len(columns),
        coverage={f"{100 * level:.0f}": central_coverage(found.ranks, level) for level in INTERVALS},
        sbc_p_value=min(1.0, p_values[worst] * len(p_values)),
        sbc_latent=[*labels, LOG_JOINT][worst],
        tarp_p_value=uniformity_p_value(found.distance_rank),
        c2st=c2st(found.true_features, found.drawn_features, generator),
        z_score=_root_mean_square(z_score(found.true, found.mean, found.sd)),
    )


def central_coverage(ranks: Float[np.ndarray, "dataset latent"], level: float) -> Coverage:
    """Share of normalised ranks inside the central interval of probability `level`."""
    shares = np.mean(np.abs(2.0 * ranks - 1.0) <= level, axis=0)
    error = float(np.sqrt(level * (1.0 - level) / len(ranks)))
    return Coverage(float(shares.mean()), error, float(shares.min()), float(shares.max()))


def _root_mean_square(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")
