"""The simultaneous band holds as many uniform curves as it says, and the p-value agrees with it."""

import numpy as np
import pytest
from arviz_stats.ecdf_utils import ecdf_pit
from scipy import stats

from posterity.calibration.ranks import weighted_ranks
from posterity.calibration.uniformity import ecdf, evaluation_points, simultaneous_band, uniformity_p_value


def leaves_band(values, level):
    points, low, high = simultaneous_band(len(values), level)
    curve = ecdf(values, points)
    return bool(np.any((curve < low - 1e-12) | (curve > high + 1e-12)))


@pytest.mark.parametrize("size", [20, 137, 400])
def test_the_band_holds_what_it_says(size):
    """Of 2000 uniform curves, 95% or a little more (counts are whole) stay inside: within 4 standard errors."""
    rng = np.random.default_rng(size)
    inside = np.mean([not leaves_band(rng.random(size), 0.95) for _ in range(2000)])
    error = (0.95 * 0.05 / 2000) ** 0.5
    assert 0.95 - 4 * error < inside < 0.95 + 4 * error + 0.02


def test_p_values_of_uniform_numbers_are_uniform():
    """Kolmogorov-Smirnov against the uniform law below 1e-4 once in 10,000; p-values step by about 0.01."""
    rng = np.random.default_rng(0)
    p_values = np.array([uniformity_p_value(rng.random(100)) for _ in range(1000)])
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert np.mean(p_values < 0.01) < 0.01 + 4 * (0.01 * 0.99 / 1000) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_leaves_the_band_of_a_level_where_its_p_value_is_below_it(seed):
    rng = np.random.default_rng(seed)
    values = rng.beta(1.0, rng.uniform(1.0, 1.4), 150)
    p_value = uniformity_p_value(values)
    assert leaves_band(values, 1.0 - 1.02 * p_value)
    assert not leaves_band(values, 1.0 - 0.98 * p_value)


def test_the_band_is_that_of_arviz():
    """ArviZ simulates the level of its band at all i / N; from 2000 curves it errs by a count or so."""
    points, low, high = simultaneous_band(100, 0.95)
    theirs, _, lower, upper = ecdf_pit(np.random.default_rng(0).random(100), 0.95, 2000)
    assert np.allclose(points, theirs)
    assert np.abs(low - lower).max() <= 0.0201
    assert np.abs(high - upper).max() <= 0.0201


def test_the_curve_is_the_share_below():
    assert evaluation_points(4).tolist() == [0.25, 0.5, 0.75]
    assert len(evaluation_points(5000)) == 99
    assert ecdf(np.array([0.1, 0.25, 0.6, 0.9]), evaluation_points(4)).tolist() == [0.5, 0.5, 0.75]


@pytest.mark.parametrize("law", [stats.beta(2, 2), stats.beta(0.5, 0.5), stats.beta(1.5, 1), stats.beta(1, 1.5)])
def test_humps_troughs_and_slopes_are_seen(law):
    assert uniformity_p_value(law.rvs(400, random_state=0)) < 1e-6


def test_ranks_of_equal_draws_are_uniform_over_ties_too():
    """Draws that all equal the truth carry no information: its rank has to be uniform. False alarm 1e-4."""
    rng = np.random.default_rng(0)
    equal = np.full(99, 1.0 / 99)
    ties = np.array([weighted_ranks(np.ones(1), np.ones((99, 1)), equal, rng)[0] for _ in range(500)])
    assert uniformity_p_value(ties) > 1e-4
    lowest = weighted_ranks(np.zeros(1000), np.ones((99, 1000)), equal, rng)
    assert lowest.max() <= 0.01 and uniformity_p_value(100.0 * lowest) > 1e-4  # the first of 100 ranks, evenly


def test_weights_make_the_ranks_of_a_wide_proposal_uniform():
    """z ~ N(0, 1), draws from N(0, 4) with their importance weights; 2000 truths, false alarm 1e-4."""
    rng = np.random.default_rng(0)
    weighted, plain = [], []
    for _ in range(2000):
        draws = 2.0 * rng.normal(size=(200, 1))
        weights = np.exp(stats.norm.logpdf(draws[:, 0]) - stats.norm.logpdf(draws[:, 0], scale=2.0))
        true = rng.normal(size=1)
        weighted.append(weighted_ranks(true, draws, weights / weights.sum(), rng)[0])
        plain.append(weighted_ranks(true, draws, np.full(200, 0.005), rng)[0])
    assert uniformity_p_value(np.array(weighted)) > 1e-4
    assert uniformity_p_value(np.array(plain)) < 1e-12
