"""Calibration checks turn red on a q that is wrong on purpose, and stay green on the exact posterior."""

import functools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

from posterity.amortized.families.diagonal import DiagonalGaussian
from posterity.calibration.cells import Cell, envelope_cells
from posterity.calibration.contraction import contraction, z_score
from posterity.calibration.judgement import FALSE_ALARM, central_coverage, fewest_datasets
from posterity.calibration.report import calibrate
from posterity.calibration.uniformity import uniformity_p_value
from posterity.model.builtin import MODELS
from posterity.runtime.errors import InputError
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.envelope import Envelope
from posterity.training.stream import Simulated
from posterity.training.validation import validate

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
def simulator():
    return builtin_simulator(MODELS["gaussian_mean"], (4, 8), (1, 3), check=False)


@functools.cache
def found(*, shift=0.0, stretch=1.0, cell_rows=6, cell_dims=2):
    return report_on(Conjugate(jnp.array(shift), jnp.array(stretch)), cell_rows, cell_dims)


@functools.cache
def report_on_prior():
    return report_on(prior)


def report_on(q, rows=6, dims=2):
    cell = Cell(rows, {"dims": dims})
    key = random.key(7)
    return calibrate(q, simulator(), cell, rng_key=key, num_datasets=NUM_DATASETS, num_draws=NUM_DRAWS)


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
    """A p-value below 1e-4 for the exact posterior is a false alarm: 1 in 10,000."""
    assert (found(**wrong).raw.sbc_p_value > 1e-4) == passes


@pytest.mark.parametrize("wrong", [{}, {"stretch": 2.0}, {"shift": 0.5}], ids=["exact", "scale_doubled", "shifted"])
def test_corrected_answers_are_calibrated_where_weights_can_correct(wrong):
    """False alarm 1 in 10,000 for each."""
    report = found(**wrong)
    assert report.trusted > 0.8
    assert report.corrected.num_datasets == round(report.trusted * NUM_DATASETS)
    assert report.corrected.p_value > 1e-4
    assert report.raw.calibrated == (wrong == {})


def test_too_few_corrected_answers_are_not_judged():
    report = report_on(Conjugate(jnp.array(8.0), jnp.array(0.3)))
    assert report.trusted < 0.05 and report.corrected is None and report.to_json()["corrected"] is None
    assert report.details.corrected is None


def test_the_prior_covers_and_wastes_draws():
    """Calibration alone is not learning: that is why the ESS stands beside it."""
    report = report_on_prior()
    assert min(report.details.raw.ranks.shape) == 2 and report.raw.coverage["90"].lowest > 0.84
    assert report.ess_fraction < 0.7 < found().ess_fraction
    assert abs(report.contraction) < 0.1 and found().contraction == pytest.approx(1.0 - 1.0 / 7.0, abs=0.02)
    assert report.raw.sbc_latent == "log joint" and not report.raw.calibrated  # it does not follow the data


@pytest.mark.parametrize("stretch", [1.0, 2.0, 0.5])
def test_validation_measures_both_divergences(stretch, no_shape_checks):
    """KL(p|q) + KL(q|p) of normals whose sds differ by a factor s is (s^2 + 1 / s^2 - 2) / 2 for each latent.

    Two latents, 256 datasets with one truth each: four standard errors of its log ratio (|1 - 1 / s^2| at two
    degrees of freedom) are at most 0.75 nats.
    """
    two = builtin_simulator(MODELS["gaussian_mean"], (4, 8), (2, 2), check=False)
    q = Conjugate(jnp.array(0.0), jnp.array(stretch))
    validation = validate(two, q, Simulated(), rng_key=random.key(5), num_datasets=256, num_draws=400)
    assert validation.symmetric_kl == pytest.approx(
        stretch**2 + stretch**-2 - 2.0, abs=0.02 if stretch == 1.0 else 0.75
    )


def test_log_joint_and_c2st_see_the_prior():
    """SBC of latents passes it (Modrák et al. 2023): a p-value below 1e-4 for either is 1 in 10,000."""
    raw = report_on_prior().raw
    assert raw.c2st.p_value < 1e-4 and raw.tarp_p_value > 1e-4


def test_coverage_of_the_exact_posterior_is_nominal():
    """The mean of two independent latents errs by at most one latent's error: 4 of these, 1 in 16,000."""
    for level, coverage in found().raw.coverage.items():
        assert coverage.mean == pytest.approx(int(level) / 100, abs=4 * coverage.error)
        assert coverage.lowest <= coverage.mean <= coverage.highest


def test_coverage_tells_wide_from_narrow():
    """Twice the scale: a 50% interval reaches 1.349 sd and holds 82%; half of it: 0.337 sd and 26%."""
    wide = found(stretch=2.0).raw.coverage["50"]
    narrow = found(stretch=0.5).raw.coverage["50"]
    assert wide.mean == pytest.approx(0.823, abs=4 * wide.error)
    assert narrow.mean == pytest.approx(0.264, abs=4 * narrow.error)
    assert found(stretch=2.0).raw.coverage["90"].lowest > 0.99


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
    assert report.num_latents == 1 and report.details.labels == ("mu[0]",)
    assert report.details.raw.ranks.shape == report.details.contraction.shape == (NUM_DATASETS, 1)
    assert found().num_latents == 2


def test_details_are_those_of_the_exact_posterior():
    """The posterior of mu has sd 1 / sqrt(7) and a mean of its own in each dataset, between which 90% lies."""
    raw, corrected = found().details.raw, found().details.corrected
    np.testing.assert_allclose(np.mean(raw.sd, axis=0), 7**-0.5, rtol=0.02)
    np.testing.assert_allclose(raw.high - raw.low, 2 * 1.645 * raw.sd, rtol=0.5)
    np.testing.assert_allclose(corrected.mean, raw.mean[: len(corrected.mean)], atol=1e-3)  # equal weights, all trusted
    assert np.corrcoef(raw.true[:, 0], raw.mean[:, 0])[0, 1] > 0.8


def test_references_and_truths_do_not_depend_on_q():
    """The same key gives the same datasets, whatever q is: reports can be compared."""
    np.testing.assert_array_equal(found().details.raw.true, found(stretch=2.0).details.raw.true)


def test_a_report_is_plain():
    record = found().to_json()
    assert record["rows"] == 6 and record["plates"] == {"dims": 2}
    assert record["raw"]["calibrated"] is record["corrected"]["calibrated"] is True
    assert set(record["raw"]["coverage"]) == {"50", "90"}
    json.dumps(record, allow_nan=False)


def test_z_scores_and_contraction():
    """Squared z-scores of the exact posterior have mean 1: sd sqrt(2 / 800) here; 4 of these are 1 in 16,000."""
    report = found()
    assert report.raw.z_score**2 == pytest.approx(1.0, abs=4 * (2 / (2 * NUM_DATASETS)) ** 0.5)
    assert found(stretch=2.0).raw.z_score == pytest.approx(0.5, rel=0.1)
    ones = np.ones((3, 1))
    assert z_score(ones, 3 * ones, 2 * ones).tolist() == [[1.0]] * 3
    assert np.isnan(z_score(ones, ones, 0 * ones)).all()
    assert contraction(0.5 * ones, np.ones(1)).tolist() == [[0.75]] * 3


def test_central_intervals_are_symmetric_in_the_ranks():
    ranks = ((np.arange(100) + 0.5) / 100)[:, None]
    for level in (0.5, 0.9):
        assert central_coverage(ranks, level).mean == central_coverage(1.0 - ranks, level).mean == pytest.approx(level)


def test_cells_are_the_corners_and_the_middle():
    cells = envelope_cells(Envelope((4, 64), {"dims": (1, 4)}))
    assert [(cell.rows, cell.plates["dims"]) for cell in cells] == [(n, p) for n in (4, 16, 64) for p in (1, 2, 4)]
    assert envelope_cells(Envelope((8, 8), {"dims": (2, 2)})) == (Cell(8, {"dims": 2}),)
    assert len(envelope_cells(Envelope((4, 64), {"dims": (1, 4), "groups": (2, 9)}))) == 3 * 2 * 2
    assert [cell.rows for cell in envelope_cells(Envelope((4, 64)))] == [4, 16, 64]


def test_progress_counts_datasets():
    done = []
    cell = Cell(4, {"dims": 1})
    calibrate(prior, simulator(), cell, rng_key=random.key(0), num_datasets=120, num_draws=25, on_progress=done.append)
    assert done[:120] == list(range(1, 121)) and set(done[120:]) <= {120}


def test_more_datasets_are_simulated_where_that_gives_enough_corrected_answers():
    """Of a q that lies 1 sd off, some two answers in five are corrected with 60 draws."""
    hard = Conjugate(jnp.array(1.0), jnp.array(1.0))
    cell = Cell(6, {"dims": 2})
    report = calibrate(hard, simulator(), cell, rng_key=random.key(3), num_datasets=120, num_draws=60)
    needed = fewest_datasets(2)
    assert 0.25 < report.trusted < 0.95 and 120 < report.num_datasets < 480
    assert report.corrected.num_datasets == needed == round(report.trusted * report.num_datasets)


def test_fewer_datasets_than_the_judges_need_are_refused():
    with pytest.raises(InputError, match="give 116 or more"):
        calibrate(prior, simulator(), Cell(4, {"dims": 2}), rng_key=random.key(0), num_datasets=115)


@pytest.mark.parametrize("num_latents", [1, 8, 60])
def test_so_many_datasets_show_a_posterior_twice_too_wide(num_latents):
    """In 9 of 10 checks; 200 of them, so fewer than 160 seen happens once in 10^6. Half as wide is easier."""
    rng = np.random.default_rng(num_latents)
    level, size = FALSE_ALARM / 3 / (num_latents + 1), fewest_datasets(num_latents)
    for width in (2.0, 0.5):
        seen = [uniformity_p_value(stats.norm.cdf(rng.normal(size=size) / width)) < level for _ in range(200)]
        assert sum(seen) >= 160
