r"""Is q calibrated, before any correction? Simulation-based, cell by cell over the envelope.

Draw $(z^*, D)$ from the joint and $z_1..z_S \sim q(\cdot \mid D)$. If q is the posterior, the rank of $z^*$
among the draws is uniform on $0..S$ for every scalar latent (Talts et al. 2018). Coverage of central
intervals and a chi-square test read those ranks. Calibration alone is no proof of quality, since the prior
passes it too; hence the importance ESS, the forward NLL and the ELBO stand beside it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray
from scipy.special import gammaincc

from posterity.dataset import Dataset
from posterity.posteriors import AbstractPosterior
from posterity.problem import Envelope, Problem
from posterity.problem.space import broadcast_mask
from posterity.trust.verdict import pareto_k_limit
from posterity.trust.weights import ess_fraction, pareto_smoothed

__all__ = [
    "Cell",
    "CellReport",
    "break_ties",
    "calibrate",
    "central_coverage",
    "envelope_cells",
    "rank_probabilities",
    "uniformity_p_value",
]

ToPosterior = Callable[[Dataset, Array], AbstractPosterior]
INTERVALS = (0.5, 0.9)
FALSE_ALARM = 1e-3  # of one cell, whatever its number of latents
DRAWS_TIMES_ROWS = 2_000_000  # log likelihoods held at once


@dataclasses.dataclass(frozen=True)
class Cell:
    """One size of dataset.

    Attributes:
        rows: Number of rows.
        plates: Variable plate -> number of its entries.
    """

    rows: int
    plates: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How often central intervals of q hold the latents that made the data.

    Attributes:
        expected: Share for the exact posterior; the nominal one, up to the grain of the ranks.
        mean: Share found, averaged over latents.
        error: Binomial standard error of one latent's share, sqrt(p (1 - p) / datasets). That of the mean
            over latents is no larger.
        lowest: Smallest share among latents.
        highest: Largest share among latents.
    """

    expected: float
    mean: float
    error: float
    lowest: float
    highest: float


@dataclasses.dataclass(frozen=True)
class CellReport:
    """What was found in one cell.

    Attributes:
        cell: Its size.
        num_datasets: Datasets simulated.
        num_draws: Draws of q per dataset.
        ess_fraction: Median over datasets of the importance ESS, as a share of the draws.
        healthy: Share of datasets whose Pareto k-hat is within the limit.
        forward_nll: Mean of -log q at the latents that made each dataset, in nats.
        elbo: Mean of E_q[log joint - log q], in nats.
        coverage: "50" and "90" -> coverage of that central interval.
        sbc_p_value: Smallest p-value of uniform ranks among latents; multiply by `num_latents` to judge it.
        sbc_latent: The latent that has it.
        num_latents: Scalar latents tested.
    """

    cell: Cell
    num_datasets: int
    num_draws: int
    ess_fraction: float
    healthy: float
    forward_nll: float
    elbo: float
    coverage: Mapping[str, Coverage]
    sbc_p_value: float
    sbc_latent: str
    num_latents: int

    @property
    def calibrated(self) -> bool:
        """Whether no latent's ranks look uneven: a false alarm in 1 of 1000 cells at most (Bonferroni)."""
        return self.sbc_p_value * self.num_latents >= FALSE_ALARM

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        record = dataclasses.asdict(self)
        return record.pop("cell") | record | {"calibrated": self.calibrated}


def envelope_cells(envelope: Envelope) -> tuple[Cell, ...]:
    """Low, middle (geometric) and high number of rows, times low and high of each variable plate."""
    low, high = envelope.rows
    rows = sorted({low, round((low * high) ** 0.5), high})
    ends = [sorted(set(bounds)) for bounds in envelope.plates.values()]
    return tuple(
        Cell(num_rows, dict(zip(envelope.plates, sizes, strict=True)))
        for num_rows in rows
        for sizes in itertools.product(*ends)
    )


def calibrate(
    posterior: ToPosterior,
    problem: Problem,
    cell: Cell,
    *,
    rng_key: PRNGKeyArray,
    num_datasets: int = 200,
    num_draws: int = 500,
) -> CellReport:
    """Simulates datasets of one size from the model and compares q with what made them.

    Args:
        posterior: Dataset and latent mask -> q; an estimator's network.
        problem: The model.
        cell: Size of the datasets, inside the envelope.
        rng_key: Fixes datasets and draws.
        num_datasets: Datasets to simulate.
        num_draws: Draws of q per dataset.
    """
    row_mask = jnp.arange(problem.envelope.rows[1]) < cell.rows  # one shape, one compilation, for all cells
    masks = problem.plate_masks(cell.plates)
    keys = random.split(rng_key, num_datasets)
    found = _simulate_and_draw(posterior, problem, keys, row_mask, masks, num_draws)
    ratios, log_q_true, below, equal = (np.asarray(part, np.float64) for part in found)
    labels, active = _scalar_latents(problem, masks)
    seed = np.asarray(random.key_data(rng_key))
    ranks = break_ties(below[:, active], equal[:, active], np.random.default_rng(seed))
    p_values = [uniformity_p_value(column, num_draws) for column in ranks.T]
    worst = int(np.argmin(p_values))
    weights = [pareto_smoothed(row) for row in ratios]
    return CellReport(
        cell=cell,
        num_datasets=num_datasets,
        num_draws=num_draws,
        ess_fraction=float(np.median([ess_fraction(row) for row in ratios])),
        healthy=float(np.mean([w.pareto_k <= pareto_k_limit(num_draws) for w in weights])),
        forward_nll=float(-np.mean(log_q_true)),
        elbo=float(np.mean(ratios)),
        coverage={f"{level:.0%}"[:-1]: central_coverage(ranks, num_draws, level) for level in INTERVALS},
        sbc_p_value=p_values[worst],
        sbc_latent=labels[worst],
        num_latents=len(labels),
    )


def break_ties(
    below: Float[np.ndarray, "dataset latent"],
    equal: Float[np.ndarray, "dataset latent"],
    generator: np.random.Generator,
) -> Int[np.ndarray, "dataset latent"]:
    """Ranks of true latents among draws, at random where draws are equal to them.

    Only so are the ranks of a constant uniform: a Cholesky factor of correlations holds a 1 in every draw.

    Args:
        below: Draws that are smaller than the true latent.
        equal: Draws that are equal to it.
        generator: Breaks the ties.
    """
    return (below + np.floor(generator.random(below.shape) * (equal + 1.0))).astype(int)


def central_coverage(ranks: Int[np.ndarray, "dataset latent"], num_draws: int, level: float) -> Coverage:
    """Share of ranks inside the central interval that holds about `level` of the ranks 0..num_draws."""
    cut = round((1.0 - level) / 2.0 * (num_draws + 1))
    expected = (num_draws + 1 - 2 * cut) / (num_draws + 1)
    shares = np.mean((ranks >= cut) & (ranks <= num_draws - cut), axis=0)
    error = float(np.sqrt(expected * (1.0 - expected) / len(ranks)))
    return Coverage(expected, float(shares.mean()), error, float(shares.min()), float(shares.max()))


def uniformity_p_value(ranks: Int[np.ndarray, " dataset"], num_draws: int) -> float:
    """P-value of the chi-square test that ranks are uniform on 0..num_draws.

    Ranks fall into bins that expect 10 datasets each, at least 2 and at most 20 bins.
    """
    num_bins = int(np.clip(len(ranks) // 10, 2, min(20, num_draws + 1)))
    counts = np.bincount(ranks * num_bins // (num_draws + 1), minlength=num_bins)
    expected = len(ranks) * rank_probabilities(num_draws, num_bins)
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return float(gammaincc((num_bins - 1) / 2.0, statistic / 2.0))


def rank_probabilities(num_draws: int, num_bins: int) -> Float[np.ndarray, " bin"]:
    """Probability of each bin under uniform ranks; unequal where the bins do not divide num_draws + 1."""
    bins = np.arange(num_draws + 1) * num_bins // (num_draws + 1)
    return np.bincount(bins, minlength=num_bins) / (num_draws + 1)


@partial(eqx.filter_jit)
def _simulate_and_draw(
    posterior: ToPosterior,
    problem: Problem,
    keys: Key[Array, " dataset"],
    row_mask: Array,
    plate_masks: Mapping[str, Array],
    num_draws: int,
) -> tuple[Array, Array, Array, Array]:
    """Per dataset: log joint - log q at draws, log q at the truth, draws below and equal to the truth."""

    def one(rng_key: PRNGKeyArray) -> tuple[Array, Array, Array, Array]:
        key_data, key_q = random.split(rng_key)
        dataset, truth = problem.simulate(key_data, row_mask, plate_masks)
        q = posterior(dataset, problem.space.mask(plate_masks))
        draws, log_q = q.sample_and_log_prob(key_q, num_draws)
        log_joint = vmap(problem.log_joint, in_axes=(0, None))(draws, dataset)
        latents, true = vmap(partial(_scalars, problem))(draws), _scalars(problem, truth)
        below, equal = jnp.sum(latents < true, axis=0), jnp.sum(latents == true, axis=0)
        return log_joint - log_q, q.log_prob(truth), below, equal

    at_once = max(1, DRAWS_TIMES_ROWS // (num_draws * row_mask.shape[0]))
    return lax.map(one, keys, batch_size=min(at_once, keys.shape[0]))


def _scalars(problem: Problem, z: Float[Array, " latent"]) -> Float[Array, " scalar"]:
    """All latents in their supports, end to end, in the order of their labels."""
    return jnp.concatenate([jnp.ravel(value) for value in problem.space.constrain(z).values()])


def _scalar_latents(problem: Problem, plate_masks: Mapping[str, Array]) -> tuple[list[str], np.ndarray]:
    """Labels of the scalar latents that datasets of this size have, and which of `_scalars` they are."""
    sites = problem.space.sites
    active = np.concatenate([np.ravel(broadcast_mask(site.plates, plate_masks, site.shape)) for site in sites])
    labels = [label for site in sites for label in problem.space.labels({})[site.name]]
    return [label for label, is_active in zip(labels, active, strict=True) if is_active], active
