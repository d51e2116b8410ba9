"""The judge: red on posteriors made wrong on purpose, green on harmless ones, and reasons that read well."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from posterity.trust.verdict import judge, min_ess, pareto_k_limit
from posterity.trust.weights import ImportanceWeights, pareto_smoothed

NUM_LATENTS = 5


def log_ratios_of(*, scale, shift, num_draws, seed):
    """Standard normal posterior over five latents against a q that is scaled, and shifted along the first."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(num_draws, NUM_LATENTS))
    z = scale * noise
    z[:, 0] += shift
    log_q = -0.5 * (noise**2).sum(1) - NUM_LATENTS * np.log(scale)
    return -0.5 * (z**2).sum(1) - log_q


def weights_of(*, pareto_k, ess, num_draws=1000):
    """Of which one has 1% of the sum, so that k-hat decides."""
    equal = np.full(num_draws - 1, np.log(0.99 / (num_draws - 1)))
    return ImportanceWeights(np.append(equal, np.log(0.01)), pareto_k, ess)


# Of 1000 other seeds each: the first three are never red, `shifted` is never green, `narrow` 6 times.
@pytest.mark.parametrize(
    ("scale", "shift", "expected"),
    [
        pytest.param(1.0, 0.0, "corrected", id="exact"),
        pytest.param(1.2, 0.0, "corrected", id="wide"),
        pytest.param(1.0, 0.5, "corrected", id="half_sd_off"),
        pytest.param(0.4, 0.0, "untrusted", id="narrow"),
        pytest.param(1.0, 3.0, "untrusted", id="shifted"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_judge_tells_wrong_posteriors_from_right_ones(scale, shift, expected, seed):
    verdict, reasons = judge(pareto_smoothed(log_ratios_of(scale=scale, shift=shift, num_draws=1000, seed=seed)))
    assert verdict == expected
    assert bool(reasons) == (expected == "untrusted")


@pytest.mark.parametrize(
    ("pareto_k", "ess", "expected"),
    [
        (0.66, 401.0, "corrected"),
        (0.67, 401.0, "untrusted"),
        (0.1, 399.0, "untrusted"),
        (-np.inf, 1000.0, "corrected"),
    ],
)
def test_thresholds_at_a_thousand_draws(pareto_k, ess, expected):
    assert judge(weights_of(pareto_k=pareto_k, ess=ess))[0] == expected


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(5.0, "corrected"), (100.0, "untrusted")],
)
def test_a_tail_that_weighs_next_to_nothing_does_not_decide(largest, expected):
    """2000 nearly equal weights, some of which stand out: k-hat is beyond its limit either way."""
    rng = np.random.default_rng(0)
    ratios = 0.001 * rng.normal(size=2000)
    ratios[:20] = np.log(np.geomspace(1.5, largest, 20))
    weights = pareto_smoothed(ratios)
    assert weights.pareto_k > 0.7
    assert judge(weights)[0] == expected


def test_thresholds_follow_the_number_of_draws():
    assert_allclose([pareto_k_limit(n) for n in (1, 10, 100, 1000, 10_000)], [-np.inf, 0.0, 0.5, 2 / 3, 0.7])
    assert [min_ess(n) for n in (50, 1000, 10_000)] == [5.0, 400.0, 1000.0]


def test_reasons_are_sentences_with_numbers():
    _, reasons = judge(weights_of(pareto_k=0.83, ess=43.21))
    assert reasons == (
        "Pareto k-hat 0.83 exceeds 0.67 for 1000 draws: the largest weights are too few and too large to correct q.",
        "Effective sample size 43.2 of 1000 draws is below 400: q is too far from the posterior to be corrected.",
    )
    assert judge(weights_of(pareto_k=0.668, ess=500.0))[1][0].startswith("Pareto k-hat 0.6680 exceeds 0.6667 for")


def test_zero_weights_are_counted_where_they_matter():
    log_ratios = np.full(1000, -np.inf)
    log_ratios[:60] = np.random.default_rng(0).normal(0.0, 0.1, 60)
    verdict, reasons = judge(pareto_smoothed(log_ratios))
    assert verdict == "untrusted"
    assert "940 draws have no posterior density" in reasons[-1]


@pytest.mark.parametrize(
    "log_ratios",
    [
        np.append(np.zeros(999), np.nan),
        np.append(np.zeros(999), np.inf),
        np.full(1000, -np.inf),
        np.zeros(20),
        np.append(np.zeros(999), 800.0),
    ],
    ids=["nan", "inf", "all_outside", "few", "one_carries_all"],
)
def test_what_cannot_be_judged_is_untrusted_with_one_reason(log_ratios):
    weights = pareto_smoothed(log_ratios)
    assert judge(weights) == ("untrusted", weights.problems)
    assert len(weights.problems) == 1


def test_the_envelope_is_named_but_does_not_decide():
    outside = "The dataset has 4000 rows; the estimator was trained on 16 to 128."
    assert judge(weights_of(pareto_k=0.2, ess=800.0), [outside]) == ("corrected", (outside,))
    verdict, reasons = judge(weights_of(pareto_k=0.9, ess=800.0), [outside])
    assert verdict == "untrusted"
    assert len(reasons) == 2
    assert reasons[-1] == outside
