"""The classifier guesses where there is nothing to learn, and learns what there is."""

import numpy as np
import pytest
from scipy import stats

from posterity.calibration.c2st import c2st, features


def test_where_there_is_nothing_to_learn_every_answer_is_a_fair_coin():
    """100 experiments, 48 answers each, fitted on what came before: 4 standard errors, 1 in 16,000."""
    rng = np.random.default_rng(0)
    found = [c2st(*rng.normal(size=(2, 60, 5)), rng) for _ in range(100)]
    assert np.mean([one.accuracy for one in found]) == pytest.approx(0.5, abs=4 * (0.25 / 4800) ** 0.5)
    assert found[0].error == pytest.approx((0.25 / 48) ** 0.5)
    assert stats.kstest([one.p_value for one in found], "uniform", alternative="greater").pvalue > 1e-4


def test_features_that_do_not_tell_leave_a_guess():
    """500 datasets, 400 answers, all by guessing: 4 standard errors."""
    same = np.ones((500, 3))
    found = c2st(same, same, np.random.default_rng(0))
    assert found.accuracy == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_a_shift_is_learned_as_well_as_it_can_be(shift):
    """The best score orders N(shift, 1) above N(0, 1) with probability Phi(|shift| / sqrt 2) = 0.638; 1600 answers."""
    rng = np.random.default_rng(1)
    drawn, true = rng.normal(size=(2000, 1)), shift + rng.normal(size=(2000, 1))
    found = c2st(true, drawn, rng)
    assert found.accuracy == pytest.approx(stats.norm.cdf(abs(shift) / 2**0.5), abs=4 * (0.23 / 1600) ** 0.5)
    assert found.p_value < 1e-12


def test_features_are_residuals_squares_products_and_the_ratio():
    found = features(np.array([1.0, 2.0, 5.0]), np.zeros(3), np.array([1.0, 0.5, 0.0]), -1e9)
    assert found.tolist() == [1.0, 4.0, 0.0, 1.0, 16.0, 0.0, 4.0, 0.0, 0.0, -20.0]
    assert np.isfinite(features(np.array([np.inf, np.nan]), np.zeros(2), np.ones(2), float("nan"))).all()
    assert features(np.zeros(50), np.zeros(50), np.ones(50), 0.0).shape == (50 + 50 + 190 + 1,)
