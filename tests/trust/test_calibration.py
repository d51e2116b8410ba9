"""Calibration checks turn red on a q that is wrong on purpose, and stay green on the exact posterior."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from posterity.models import MODELS
from posterity.posteriors.diagonal import DiagonalGaussian
from posterity.problem import Envelope, build_problem
from posterity.trust.calibration import (
    Cell,
    break_ties,
    calibrate,
    central_coverage,
    envelope_cells,
    rank_probabilities,
    uniformity_p_value,
)

NUM_DATASETS, NUM_DRAWS = 400, 99


class Conjugate(eqx.Module):
    """The exact posterior N(sum x / (1 + n), 1 / (1 + n)), moved and stretched in units of its sd."""

    shift: jax.Array
    stretch: jax.Array

    def __call__(self, dataset, latent_mask):
        precision = 1.0 + dataset.num_obs
        sd = jnp.ones(latent_mask.shape) / jnp.sqrt(precision)
        mean = jnp.sum(dataset.values["x"], axis=0) / precision
        return DiagonalGaussian(mean + self.shift * sd, self.stretch * sd, latent_mask)


def prior(dataset, latent_mask):
    return DiagonalGaussian(jnp.zeros(latent_mask.shape), jnp.ones(latent_mask.shape), latent_mask)


@functools.cache
def problem():
    entry = MODELS["gaussian_mean"]
    return build_problem(entry.model, entry.example(3), Envelope((4, 8), {"dims": (1, 3)}), check=False)


@functools.cache
def found(*, shift=0.0, stretch=1.0, cell_rows=6, cell_dims=2):
    return report_on(Conjugate(jnp.array(shift), jnp.array(stretch)), cell_rows, cell_dims)


def report_on(q, rows=6, dims=2):
    cell = Cell(rows, {"dims": dims})
    key = random.key(7)
    return calibrate(q, problem(), cell, rng_key=key, num_datasets=NUM_DATASETS, num_draws=NUM_DRAWS)


@pytest.mark.parametrize(
    ("wrong", "passes"),
    [
        ({}, True),
        ({"stretch": 2.0}, False),
        ({"stretch": 0.5}, False),
        ({"shift": 0.5}, False),
        ({"shift": -0.5}, False),
    ],
    ids=["exact", "scale_doubled", "scale_halved", "shifted_up", "shifted_down"],
)
def test_sbc_sees_what_it_should(wrong, passes):
    """A p-value below 1e-4 for the exact posterior is a false alarm: 1 in 10,000 for each latent."""
    assert (found(**wrong).sbc_p_value > 1e-4) == passes


def test_the_prior_passes_sbc_and_wastes_draws():
    """Calibration alone is not learning: that is why the ESS stands beside it."""
    report = report_on(prior)
    assert report.sbc_p_value > 1e-4
    assert report.ess_fraction < 0.7 < found().ess_fraction


def test_coverage_of_the_exact_posterior_is_nominal():
    """The mean of two independent latents errs by at most one latent's error: 4 of these, 1 in 16,000."""
    for coverage in found().coverage.values():
        assert coverage.mean == pytest.approx(coverage.expected, abs=4 * coverage.error)
        assert coverage.lowest <= coverage.mean <= coverage.highest


def test_coverage_tells_wide_from_narrow():
    """Twice the scale: a 50% interval reaches 1.349 sd and holds 82%; half of it: 0.337 sd and 26%."""
    wide = found(stretch=2.0).coverage["50"]
    narrow = found(stretch=0.5).coverage["50"]
    assert wide.mean == pytest.approx(0.823, abs=4 * wide.error)
    assert narrow.mean == pytest.approx(0.264, abs=4 * narrow.error)
    assert found(stretch=2.0).coverage["90"].lowest > 0.99


def test_densities_are_those_of_the_exact_posterior():
    """Exact q: weights are equal up to rounding, -log q(z) averages the entropy, the ELBO is the evidence."""
    report = found()
    assert report.ess_fraction == pytest.approx(1.0, abs=1e-3)
    entropy = 2 * stats.norm(scale=7**-0.5).entropy()
    assert report.forward_nll == pytest.approx(entropy, abs=4 * (1.0 / NUM_DATASETS) ** 0.5)
    wide = found(stretch=2.0)
    assert wide.ess_fraction < 0.7
    # KL(N(0, 4) || N(0, 1)) = (4 - 1) / 2 - log 2 for each of two latents, from the same datasets
    assert report.elbo - wide.elbo == pytest.approx(2 * (1.5 - np.log(2.0)), abs=0.05)


def test_latents_of_absent_plate_entries_are_left_out():
    report = found(cell_rows=4, cell_dims=1)
    assert (report.num_latents, report.sbc_latent) == (1, "mu[0]")
    assert found().num_latents == 2


def test_a_report_is_plain():
    record = found().to_json()
    assert record["rows"] == 6 and record["plates"] == {"dims": 2}
    assert record["coverage"]["90"]["expected"] == pytest.approx(0.9)
    assert record["calibrated"] is True


def test_the_bonferroni_rule_counts_latents():
    report = found()
    assert dataclasses.replace(report, sbc_p_value=0.0004, num_latents=2).calibrated is False
    assert dataclasses.replace(report, sbc_p_value=0.0006, num_latents=2).calibrated is True


def test_uniform_ranks_give_uniform_p_values():
    """2000 p-values against the uniform law: Kolmogorov-Smirnov below 1e-4 once in 10,000.

    Chi-square with 10 datasets a bin is only nearly exact; beyond these 2000 the difference would show.
    """
    rng = np.random.default_rng(0)
    p_values = [uniformity_p_value(rng.integers(0, 100, 200), 99) for _ in range(2000)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert np.mean(np.array(p_values) < 0.01) < 0.02


@pytest.mark.parametrize(("num_draws", "num_bins"), [(99, 20), (500, 20), (25, 7)])
def test_bins_have_the_probability_of_their_ranks(num_draws, num_bins):
    probabilities = rank_probabilities(num_draws, num_bins)
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities.max() - probabilities.min() <= 1.0 / (num_draws + 1) + 1e-12


def test_chi_square_is_the_one_of_scipy():
    ranks = np.random.default_rng(3).integers(0, 100, 200)
    counts = np.bincount(ranks // 5, minlength=20)
    assert uniformity_p_value(ranks, 99) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-9)


def test_central_intervals_are_symmetric_in_the_ranks():
    every_rank = np.arange(100)[:, None]
    coverage = central_coverage(every_rank, 99, 0.5)
    assert coverage.mean == coverage.expected == 0.5
    assert central_coverage(every_rank, 99, 0.9).mean == pytest.approx(0.9)
    assert central_coverage(99 - every_rank, 99, 0.9).mean == pytest.approx(0.9)


def test_cells_are_the_corners_and_the_middle():
    cells = envelope_cells(Envelope((4, 64), {"dims": (1, 3)}))
    assert [(cell.rows, cell.plates["dims"]) for cell in cells] == [
        (4, 1),
        (4, 3),
        (16, 1),
        (16, 3),
        (64, 1),
        (64, 3),
    ]
    assert envelope_cells(Envelope((8, 8), {"dims": (2, 2)})) == (Cell(8, {"dims": 2}),)


def test_ties_are_broken_evenly():
    """Draws that all equal the truth carry no information: its rank has to be uniform. False alarm 1e-4."""
    below, equal = np.zeros((500, 1)), np.full((500, 1), 99.0)
    ranks = break_ties(below, equal, np.random.default_rng(0))
    assert uniformity_p_value(ranks[:, 0], 99) > 1e-4
    assert break_ties(below + 3.0, 0.0 * equal, np.random.default_rng(0)).tolist() == [[3]] * 500
