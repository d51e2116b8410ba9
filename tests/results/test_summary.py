"""Weighted moments and quantiles against NumPy, SciPy and themselves; and their JSON."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from posterity.results.summary import answer_to_json, summarise, summarise_answer

LEVELS = [0.05, 0.5, 0.95]


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def statistics(values, log_weights=None):
    """mean, sd, q05, q50, q95 of one scalar latent."""
    return np.array(list(summarise({"a": values}, {"a": ("a",)}, log_weights)["a"].values()))


@pytest.mark.parametrize("log_weights", [None, np.full(1000, -3.0)], ids=["none", "equal"])
def test_equal_weights_agree_with_numpy(log_weights, rng):
    values = rng.normal(size=1000)
    mean, sd, *quantiles = statistics(values, log_weights)
    assert_allclose((mean, sd), (values.mean(), values.std()), rtol=1e-12)
    assert_allclose(quantiles, np.quantile(values, LEVELS, method="hazen"), rtol=1e-10)
    # The default method counts from 0 to n - 1 where ours counts mid-steps: half a gap between draws at most.
    gap = np.diff(np.sort(values))[30:-30].max()
    assert_allclose(quantiles, np.quantile(values, LEVELS), atol=gap / 2)


def test_reweighted_draws_give_the_statistics_of_the_target(rng):
    """Draws of Normal(0.5, 1.3) weighted to Normal(0, 1): 5 standard errors, 1 false alarm in 300,000."""
    values = rng.normal(0.5, 1.3, 20_000)
    log_weights = stats.norm.logpdf(values) - stats.norm.logpdf(values, 0.5, 1.3)
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    quantiles = stats.norm.ppf(LEVELS)
    influence = [
        values,
        (values**2 - 1.0) / 2.0,
        *((p - (values <= q)) / stats.norm.pdf(q) for p, q in zip(LEVELS, quantiles, strict=True)),
    ]
    standard_errors = np.sqrt([np.sum((weights * each) ** 2) for each in influence])
    errors = statistics(values, log_weights) - np.array([0.0, 1.0, *quantiles])
    assert np.all(standard_errors < 0.03)
    assert np.all(np.abs(errors) < 5 * standard_errors)


def test_integer_weights_count_like_repeated_draws(rng):
    values = rng.normal(size=300)
    counts = rng.integers(1, 5, 300)
    weighted, repeated = statistics(values, np.log(counts)), statistics(np.repeat(values, counts))
    assert_allclose(weighted[:2], repeated[:2], rtol=1e-12)
    gap = np.diff(np.sort(values))[5:-5].max()
    assert_allclose(weighted[2:], repeated[2:], atol=gap)


def test_draws_of_weight_zero_count_for_nothing(rng):
    values = rng.normal(size=100)
    log_weights = rng.normal(size=100)
    outside = np.array([1e6, np.inf, np.nan, -1e6])
    padded = statistics(np.concatenate([outside, values]), np.concatenate([np.full(4, -np.inf), log_weights]))
    assert_allclose(padded, statistics(values, log_weights), rtol=1e-12)


def test_order_of_draws_and_scale_of_weights_do_not_matter(rng):
    values, log_weights = rng.normal(size=(2, 100))
    order = rng.permutation(100)
    expected = statistics(values, log_weights)
    assert_allclose(statistics(values[order], log_weights[order]), expected, rtol=1e-12)
    assert_allclose(statistics(values, log_weights - 1e4), expected, rtol=1e-9)


def test_one_draw():
    assert_allclose(statistics(np.array([2.5])), [2.5, 0.0, 2.5, 2.5, 2.5])


def test_a_draw_that_is_not_finite_makes_its_own_latent_nan_only(rng):
    draws = rng.normal(size=(50, 2))
    draws[3, 0] = np.inf
    summary = summarise({"w": draws}, {"w": ("w[0]", "w[1]")})
    assert np.isnan(list(summary["w[0]"].values())).all()
    assert np.isfinite(list(summary["w[1]"].values())).all()


def test_labels_follow_c_order_and_sites_their_own(rng):
    draws = {"m": rng.normal(size=(20, 2, 3)), "empty": np.zeros((20, 0)), "s": rng.normal(size=20)}
    labels = {"m": tuple(f"m[{i},{j}]" for i in range(2) for j in range(3)), "empty": (), "s": ("s",)}
    summary = summarise(draws, labels)
    assert list(summary) == [*labels["m"], "s"]
    assert_allclose(summary["m[1,0]"]["mean"], draws["m"][:, 1, 0].mean())


def test_labels_that_do_not_fit_are_refused(rng):
    with pytest.raises(ValueError, match="zip"):
        summarise({"w": rng.normal(size=(20, 3))}, {"w": ("w[0]", "w[1]")})


def test_only_a_corrected_answer_is_weighted(make_answer):
    corrected = make_answer()
    assert corrected.verdict == "corrected"
    weighted = summarise(corrected.draws, corrected.labels, corrected.weights.log_weights)
    plain = summarise(corrected.draws, corrected.labels)
    assert weighted["sigma"]["mean"] != plain["sigma"]["mean"]
    assert summarise_answer(corrected) == weighted
    for verdict in ("untrusted", "refined"):
        assert summarise_answer(make_answer(verdict=verdict)) == plain


def test_json_has_the_keys_of_the_contract(make_answer):
    answer = make_answer(group="store 4")
    entry = json.loads(json.dumps(answer_to_json(answer), allow_nan=False))
    assert list(entry) == ["group", "num_rows", "verdict", "pareto_k", "ess", "reasons", "latents", "log_evidence"]
    assert entry["group"] == "store 4"
    assert entry["num_rows"] == answer.num_rows
    assert entry["verdict"] == "corrected"
    assert entry["pareto_k"] == answer.weights.pareto_k
    assert entry["reasons"] == []
    assert list(entry["latents"]) == ["w[bmi]", "w[age [years]]", "w[bp]", "sigma"]
    assert list(entry["latents"]["sigma"]) == ["mean", "sd", "q05", "q50", "q95"]
    assert entry["latents"] == summarise_answer(answer)


def test_json_carries_original_units_beside_the_latents(answer):
    original = {"w[bmi]": {"mean": 12.5, "sd": 0.5, "q05": 11.0, "q50": 12.0, "q95": np.inf}}
    entry = json.loads(json.dumps(answer_to_json(answer, original), allow_nan=False))
    expected = {"mean": 12.5, "sd": 0.5, "q05": 11.0, "q50": 12.0, "q95": None}
    assert entry["original_units"] == {"w[bmi]": expected}


@pytest.mark.parametrize("log_joint", [np.full(200, np.nan), np.full(200, -np.inf), np.full(200, np.inf)])
def test_json_of_a_spoilt_answer_has_nulls_and_reasons(log_joint, make_answer):
    spoilt = make_answer(log_joint=log_joint, draws={"b": np.full(200, np.nan)}, labels={"b": ("b",)})
    entry = json.loads(json.dumps(answer_to_json(spoilt), allow_nan=False))
    assert entry["verdict"] == "untrusted"
    assert entry["pareto_k"] is None
    assert entry["ess"] == 0.0
    assert len(entry["reasons"]) == 1
    assert entry["latents"]["b"]["mean"] is None
