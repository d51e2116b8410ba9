"""Pareto-smoothed weights: tail indices known in closed form, and ratios of every unpleasant kind.

The false-alarm rates are those of a fresh seed; the seeds are fixed, so that a failure repeats.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from posterity.trust.verdict import judge
from posterity.trust.weights import ess_fraction, pareto_smoothed

NUM_DRAWS = 4000


@pytest.fixture
def rng():
    return np.random.default_rng(20250211)


def normal_ratios(rng, *, scale, num_draws=NUM_DRAWS):
    """Log ratios of a standard normal target to draws of Normal(0, scale), minus 7 (an unknown evidence)."""
    z = rng.normal(0.0, scale, num_draws)
    return stats.norm.logpdf(z) - stats.norm.logpdf(z, 0.0, scale) - 7.0


def test_proposal_equal_to_target_gives_equal_weights():
    weights = pareto_smoothed(np.full(1000, -3.5))
    assert weights.pareto_k == -np.inf
    assert_allclose(weights.log_weights, -np.log(1000), rtol=1e-14)
    assert_allclose(weights.ess, 1000, rtol=1e-12)
    assert weights.problems == ()


def test_narrow_proposal_has_a_heavy_tail(rng):
    """Ten latents, each too narrow by 0.4. Of 400 other seeds all pass, the lowest with 0.717."""
    log_ratios = np.sum([normal_ratios(rng, scale=0.4) for _ in range(10)], axis=0)
    assert pareto_smoothed(log_ratios).pareto_k > 0.7


def test_t_proposal_has_no_tail_for_a_normal_target(rng):
    """The ratios are bounded, so k < 0: at most -1.37 over 1000 other seeds."""
    z = rng.standard_t(3, NUM_DRAWS)
    assert pareto_smoothed(stats.norm.logpdf(z) - stats.t.logpdf(z, 3)).pareto_k < -1.0


def test_normal_proposal_has_a_tail_for_a_t_target(rng):
    """The ratios grow like exp(z^2 / 2), so k -> 1 slowly: 0.31 to 1.08 over 1000 other seeds, mean 0.67."""
    z = rng.normal(size=NUM_DRAWS)
    assert pareto_smoothed(stats.t.logpdf(z, 3) - stats.norm.logpdf(z)).pareto_k > 0.25


def test_ess_matches_its_closed_form(rng):
    """E w^2 = s^2 / sqrt(2 s^2 - 1) for Normal(0, s) against Normal(0, 1)."""
    scale = 1.5
    log_ratios = normal_ratios(rng, scale=scale)
    expected = np.sqrt(2 * scale**2 - 1) / scale**2
    # sd 0.0039 over 200 other seeds: 0.02 is five of them, 1 false alarm in a million
    assert abs(pareto_smoothed(log_ratios).ess / NUM_DRAWS - expected) < 0.02
    assert abs(ess_fraction(log_ratios) - expected) < 0.02


def test_reweighting_recovers_the_target_mean_and_second_moment(rng):
    """Proposal Normal(1, 1.2), target Normal(0, 1). A flipped sign moves the mean to beyond 2."""
    z = rng.normal(1.0, 1.2, NUM_DRAWS)
    log_ratios = stats.norm.logpdf(z) - stats.norm.logpdf(z, 1.0, 1.2)
    ratios = np.exp(log_ratios)
    weights = np.exp(pareto_smoothed(log_ratios).log_weights)
    for power, expected in ((1, 0.0), (2, 1.0)):
        standard_error = np.std(ratios * (z**power - expected)) / np.sqrt(NUM_DRAWS)
        assert standard_error < 0.05
        # 4.5 standard errors: 1 false alarm in 150,000
        assert abs(weights @ z**power - expected) < 4.5 * standard_error


def test_the_evidence_does_not_matter(rng):
    log_ratios = normal_ratios(rng, scale=0.8)
    here, far = pareto_smoothed(log_ratios), pareto_smoothed(log_ratios - 1e4)
    assert_allclose(far.log_weights, here.log_weights, rtol=1e-8, atol=1e-8)
    assert_allclose((far.pareto_k, far.ess), (here.pareto_k, here.ess), rtol=1e-6)


@pytest.mark.parametrize("num_draws", [25, 40, 225, 226, 1000])
def test_weights_sum_to_one_at_every_size(num_draws, rng):
    weights = pareto_smoothed(normal_ratios(rng, scale=1.2, num_draws=num_draws))
    assert_allclose(np.exp(weights.log_weights).sum(), 1.0, rtol=1e-12)
    assert np.isfinite(weights.pareto_k)
    assert 1.0 <= weights.ess <= num_draws


def test_smoothing_keeps_order_and_trims_the_largest_weight(rng):
    log_ratios = normal_ratios(rng, scale=0.5)
    log_weights = pareto_smoothed(log_ratios).log_weights
    order = np.argsort(log_ratios)
    assert np.all(np.diff(log_weights[order]) >= 0.0)
    plain = log_ratios - np.logaddexp.reduce(log_ratios)
    assert not np.allclose(log_weights, plain, atol=1e-3)


@pytest.mark.parametrize("num_draws", [1, 20, 24])
def test_too_few_draws_are_said_to_be_too_few(num_draws, rng):
    weights = pareto_smoothed(rng.normal(size=num_draws))
    assert np.isnan(weights.pareto_k)
    assert_allclose(np.exp(weights.log_weights).sum(), 1.0, rtol=1e-12)
    assert f"Only {num_draws} of {num_draws} draws have positive weight" in weights.problems[0]


def test_draws_outside_the_support_weigh_nothing_and_change_nothing_else(rng):
    log_ratios = normal_ratios(rng, scale=1.2, num_draws=700)
    padded = np.full(1000, -np.inf)
    inside = rng.permutation(1000)[:700]
    padded[inside] = log_ratios
    weights, alone = pareto_smoothed(padded), pareto_smoothed(log_ratios)
    assert_allclose(weights.log_weights[inside], alone.log_weights)
    assert np.isneginf(np.delete(weights.log_weights, inside)).all()
    assert_allclose((weights.pareto_k, weights.ess), (alone.pareto_k, alone.ess))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_unusable_ratio_spoils_the_answer_without_an_exception(value, rng):
    log_ratios = rng.normal(size=1000)
    log_ratios[17] = value
    weights = pareto_smoothed(log_ratios)
    assert weights.pareto_k == np.inf
    assert weights.ess == 0.0
    assert_allclose(weights.log_weights, -np.log(1000))
    assert "NaN or +inf at 1 of 1000 draws" in weights.problems[0]
    assert ess_fraction(log_ratios) == 0.0


def test_all_draws_outside_the_support():
    weights = pareto_smoothed(np.full(100, -np.inf))
    assert weights.pareto_k == np.inf
    assert weights.ess == 0.0
    assert "zero at every one of the 100 draws" in weights.problems[0]
    assert ess_fraction(np.full(100, -np.inf)) == 0.0


def test_one_draw_with_all_the_weight():
    log_ratios = np.zeros(1000)
    log_ratios[3] = 800.0
    weights = pareto_smoothed(log_ratios)
    assert weights.pareto_k == np.inf
    assert_allclose(weights.ess, 1.0)
    assert "a few draws carry nearly all weight" in weights.problems[0]


@pytest.mark.parametrize("step", [6e-5, 0.01, 0.05])
def test_float32_rounding_does_not_spoil_a_good_answer(step, rng):
    """Near-perfect q on many rows: ratios fall on a few rounding steps, and a quarter of the tail ties."""
    rounded = np.round(rng.normal(size=1000)) * step
    weights = pareto_smoothed(rounded)
    # at most 0.30 over 200 other seeds at every step
    assert weights.pareto_k < 0.5
    assert weights.ess > 990
    assert_allclose(weights.log_weights, pareto_smoothed(rounded).log_weights, rtol=0)
    below_tail = rounded <= 0.0
    plain = rounded - np.logaddexp.reduce(rounded)
    assert np.abs(weights.log_weights - plain)[below_tail].max() < step  # half a step, and the normalisation


def test_plain_ess_fraction():
    assert_allclose(ess_fraction(np.log([1.0, 1.0, 2.0])), 16 / 6 / 3)
    assert_allclose(ess_fraction(np.array([0.0, 0.0, -np.inf, -np.inf]) - 500.0), 0.5)


@pytest.mark.parametrize("shape", [(0,), (2, 100), ()])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"log_ratios must have shape \(draw,\)"):
        pareto_smoothed(np.zeros(shape))


def test_ratios_that_differ_by_rounding_are_equal():
    """Heavy-tailed rounding within 0.01 nats is no tail of q; beyond, it is."""
    noise = np.random.default_rng(0).standard_cauchy(1000)
    tiny = 0.009 * (noise - noise.min()) / np.ptp(noise)
    assert pareto_smoothed(tiny).pareto_k == -np.inf
    assert pareto_smoothed(tiny).ess == pytest.approx(1000.0, rel=1e-4)
    assert pareto_smoothed(100.0 * tiny).pareto_k > 0.0


def test_ratios_too_large_for_32_bits_are_no_sign_of_a_perfect_q():
    """A log q of -1e30 at every draw makes all ratios equal, and means nothing."""
    found = pareto_smoothed(np.full(100, 1e30))
    assert found.pareto_k == np.inf and found.ess == 0.0
    assert "as large as 1e+30 nats" in found.problems[0]
    assert judge(found)[0] == "untrusted"
    assert pareto_smoothed(np.full(100, -3e6)).problems == ()  # a million rows
