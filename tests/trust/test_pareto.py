"""Pareto smoothing of a batch against ArviZ's of one set, and against the tail that is there."""

import numpy as np
import pytest
from arviz_stats.base.array import array_stats
from numpy.testing import assert_allclose

from posterity.trust.pareto import smooth_tails
from posterity.trust.weights import pareto_smoothed, pareto_smoothed_many


@pytest.mark.parametrize("num_draws", [25, 40, 225, 226, 1000, 4001])
def test_agrees_with_arviz(num_draws):
    rng = np.random.default_rng(num_draws)
    ratios = np.concatenate([rng.normal(size=(3, num_draws)) * scale for scale in (0.05, 0.5, 3.0)])
    ratios = np.concatenate([ratios, np.log(np.abs(rng.standard_cauchy((3, num_draws))))])
    found, ks = smooth_tails(ratios)
    for row, log_weights, k in zip(ratios, found, ks, strict=True):
        expected, expected_k = array_stats.psislw(-row)  # it takes minus the log ratios
        assert_allclose(k, expected_k, atol=1e-9)
        assert_allclose(log_weights, expected, atol=1e-9)


def test_finds_the_tail_index():
    """Ratios u^-k have tail index k. The fit takes 424 of 20,000: standard error (1 + k) / sqrt(424), 0.06 to 0.11."""
    u = np.random.default_rng(0).uniform(size=20_000)
    for k in (0.3, 0.7, 1.2):
        assert abs(smooth_tails(-k * np.log(u)[None])[1][0] - k) < 0.1


def test_a_batch_of_all_kinds_is_each_alone():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 60))
    rows[1] = 2.0  # equal
    rows[2, :50] = -np.inf  # too few
    rows[3, 5] = np.nan
    rows[4, :20] = -np.inf  # some outside the support
    rows[5] = -np.inf
    for together, row in zip(pareto_smoothed_many(rows), rows, strict=True):
        alone = pareto_smoothed(row)
        assert_allclose(together.log_weights, alone.log_weights)
        assert together.problems == alone.problems
        assert (together.pareto_k, together.ess) == pytest.approx((alone.pareto_k, alone.ess), nan_ok=True)
