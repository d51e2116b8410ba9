"""Simulation-based check of an estimator at one size of dataset: q as it is, and q corrected by its weights."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import random
from jaxtyping import PRNGKeyArray

from posterity.calibration.cells import Cell
from posterity.calibration.comparison import Comparison, compare, stack_comparisons
from posterity.calibration.contraction import contraction
from posterity.calibration.judgement import Judgement, fewest_datasets, judge_posteriors
from posterity.calibration.simulation import ToPosterior, prior_points, scalar_latents, simulations
from posterity.calibration.tarp import spread
from posterity.runtime.errors import InputError
from posterity.simulation.simulator import Simulator
from posterity.trust.verdict import judge, pareto_k_limit
from posterity.trust.weights import ess_fraction, pareto_smoothed

__all__ = ["MOST_TIMES", "CellReport", "Details", "calibrate", "refuse_too_few"]

PRIOR_DRAWS = 2000
MOST_TIMES = 4
"""Where too few answers are corrected to be judged, up to so many times as many datasets are simulated."""


@dataclasses.dataclass(frozen=True, eq=False)
class Details:
    """Dataset by dataset, for figures.

    Attributes:
        labels: Of the scalar latents.
        raw: Truths and draws of q as they are, datasets first.
        corrected: Truths and weighted draws, of the datasets with verdict `corrected`; None where they are too few.
        ess_fraction: Importance ESS as a share of the draws, `(dataset,)`.
        pareto_k: k-hat, `(dataset,)`.
        contraction: 1 - variance of q / variance of the prior, `(dataset, scalar)`.
    """

    labels: tuple[str, ...]
    raw: Comparison
    corrected: Comparison | None
    ess_fraction: np.ndarray
    pareto_k: np.ndarray
    contraction: np.ndarray


@dataclasses.dataclass(frozen=True)
class CellReport:
    """What was found in one cell.

    Attributes:
        cell: Its size.
        num_datasets: Datasets simulated.
        num_draws: Draws of q per dataset.
        num_latents: Scalar latents.
        ess_fraction: Median over datasets of the importance ESS, as a share of the draws.
        healthy: Share of datasets whose Pareto k-hat is within the limit.
        trusted: Share of datasets whose verdict is `corrected`.
        forward_nll: Mean of -log q at the latents that made each dataset, in nats.
        elbo: Mean of E_q[log joint - log q], in nats.
        contraction: Median over datasets and latents of 1 - posterior variance / prior variance.
        raw: Judgement on q as it is, over all datasets.
        corrected: Judgement on the weighted draws of the datasets whose verdict is `corrected`: what people rely on.
            None where they are fewer than the judges need, see `fewest_datasets`.
        details: Dataset by dataset.
    """

    cell: Cell
    num_datasets: int
    num_draws: int
    num_latents: int
    ess_fraction: float
    healthy: float
    trusted: float
    forward_nll: float
    elbo: float
    contraction: float
    raw: Judgement
    corrected: Judgement | None
    details: Details = dataclasses.field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        skipped = ("cell", "details", "raw", "corrected")
        plain = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in skipped
        }
        judged = {"raw": _plain(self.raw), "corrected": _plain(self.corrected)}
        return dataclasses.asdict(self.cell) | plain | judged


def calibrate(
    posterior: ToPosterior,
    simulator: Simulator,
    cell: Cell,
    *,
    rng_key: PRNGKeyArray,
    num_datasets: int = 200,
    num_draws: int = 500,
    on_progress: Callable[[int], None] = lambda done: None,
) -> CellReport:
    """Simulates datasets of one size from the model and compares posteriors with what made them.

    That the verdict decides which corrected answers are judged, and when there are enough, does no harm: it is taken
    from data and draws, and given these the truth still follows the posterior.

    Args:
        posterior: Dataset and latent mask -> q; an estimator's network.
        simulator: The model.
        cell: Size of the datasets, inside the envelope.
        rng_key: Fixes datasets and draws.
        num_datasets: Datasets to simulate, at least `fewest_datasets`. More are simulated, up to four times as many,
            where that promises enough corrected answers.
        num_draws: Draws of q per dataset, at least 25.
        on_progress: Called with the number of finished datasets after each.

    Raises:
        InputError: They are too few for the judges.
    """
    key_prior, key_data, key_judges = random.split(rng_key, 3)
    labels = scalar_latents(simulator, cell)
    refuse_too_few(num_datasets, len(labels))
    fewest, most = fewest_datasets(len(labels)), MOST_TIMES * num_datasets
    prior, references = prior_points(simulator, cell, key_prior, max(PRIOR_DRAWS, most))
    scale, prior_sd = spread(references), np.std(prior, axis=0)
    generator = np.random.default_rng(np.asarray(random.key_data(key_judges)))
    equal = np.full(num_draws, 1.0 / num_draws)
    raw, corrected, shares, k_hats, log_q_true, elbos = [], [], [], [], [], []
    for i, points in enumerate(simulations(posterior, simulator, cell, key_data, most, num_draws)):
        ratios = points.log_joint[1:] - points.log_q[1:]
        weights = pareto_smoothed(ratios)
        raw.append(compare(points, equal, references[i], scale, generator))
        if judge(weights)[0] == "corrected":
            corrected.append(compare(points, np.exp(weights.log_weights), references[i], scale, generator))
        shares.append(ess_fraction(ratios))
        k_hats.append(weights.pareto_k)
        log_q_true.append(points.log_q[0])
        elbos.append(ratios.mean())
        on_progress(min(i + 1, num_datasets))
        if len(raw) >= num_datasets and not fewest * len(raw) / most < len(corrected) < fewest:
            break  # enough, or too few to hope for
    all_raw = stack_comparisons(raw)
    all_corrected = stack_comparisons(corrected) if len(corrected) >= fewest else None
    contractions = contraction(all_raw.sd, prior_sd)
    return CellReport(
        cell=cell,
        num_datasets=len(raw),
        num_draws=num_draws,
        num_latents=len(labels),
        ess_fraction=float(np.median(shares)),
        healthy=float(np.mean(np.array(k_hats) <= pareto_k_limit(num_draws))),
        trusted=len(corrected) / len(raw),
        forward_nll=float(-np.mean(log_q_true)),
        elbo=float(np.mean(elbos)),
        contraction=float(np.nanmedian(contractions)),
        raw=judge_posteriors(all_raw, labels, generator),
        corrected=None if all_corrected is None else judge_posteriors(all_corrected, labels, generator),
        details=Details(tuple(labels), all_raw, all_corrected, np.array(shares), np.array(k_hats), contractions),
    )


def refuse_too_few(num_datasets: int, num_latents: int) -> None:
    """Raises InputError where so few datasets would be judged that no objection says little."""
    fewest = fewest_datasets(num_latents)
    if num_datasets < fewest:
        raise InputError(
            f"check: {num_datasets} datasets are too few to judge {num_latents} latents: with fewer than {fewest} even "
            f"a posterior twice too wide would often pass; give {fewest} or more"
        )


def _plain(judgement: Judgement | None) -> dict[str, Any] | None:
    if judgement is None:
        return None
    return dataclasses.asdict(judgement) | {"p_value": judgement.p_value, "calibrated": judgement.calibrated}
