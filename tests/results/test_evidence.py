"""Log evidence against closed forms, and models compared by it."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

import posterity
from posterity.runtime.errors import InputError
from posterity.trust.weights import equal_weights


@pytest.fixture(scope="module")
def answers():
    """One dataset under three priors of a conjugate regression, noise sd 0.5."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2))
    data = {"x": x, "y": x @ [0.5, -0.3] + 0.5 * rng.normal(size=20)}
    found = {}
    for prior_sd in (0.05, 0.5, 20.0):
        options = {"prior_sd": prior_sd, "noise_sd": 0.5}
        found[prior_sd] = posterity.infer("linear_regression_known_noise", data, options=options, num_draws=2000).answer
    return data, found


def closed_form(data, prior_sd):
    design = np.concatenate([data["x"], np.ones((20, 1))], axis=1)
    covariance = 0.25 * np.eye(20) + prior_sd**2 * design @ design.T
    return multivariate_normal(np.zeros(20), covariance).logpdf(data["y"])


def test_evidence_is_the_closed_form(answers):
    data, found = answers
    for prior_sd, answer in found.items():
        evidence = answer.log_evidence()
        assert_allclose(evidence.value, closed_form(data, prior_sd), atol=5.0 * evidence.standard_error + 2e-3)
        assert 0.0 <= evidence.standard_error < 0.01


def test_standard_error_covers_the_closed_form():
    """A q that is off by known ratios: draws of N(0, 1) for a target N(0, 0.8^2) of evidence e^3.

    The mean over 200 repetitions of (estimate - truth) / se has standard error 0.07; beyond 0.35 by chance 6e-7. Their
    sd would leave 0.8 to 1.2 by chance 1e-4.
    """
    rng = np.random.default_rng(1)
    scores = []
    for _ in range(200):
        z = rng.normal(size=1000)
        answer = fake(log_joint=3.0 - 0.5 * (z / 0.8) ** 2 - np.log(0.8), log_q=-0.5 * z**2)
        evidence = answer.log_evidence()
        scores.append((evidence.value - 3.0) / evidence.standard_error)
    assert abs(np.mean(scores)) < 0.35
    assert 0.8 < np.std(scores) < 1.2


def fake(log_joint, log_q, verdict="corrected"):
    size = len(log_joint)
    return posterity.Answer(
        model="m", num_rows=1, group=None, draws={}, labels={}, dims={}, coords={}, log_q=log_q, log_joint=log_joint,
        weights=equal_weights(size, 0.1, size), verdict=verdict, reasons=(), observed={"y": np.zeros(1)}, seconds=0.0,
    )  # fmt: skip


def test_models_are_compared_best_first(answers):
    data, found = answers
    table = posterity.compare({str(sd): answer for sd, answer in found.items()})
    expected = {str(sd): closed_form(data, sd) for sd in found}
    assert table["model"].to_list() == sorted(expected, key=expected.get, reverse=True)
    assert_allclose(table["probability"].sum(), 1.0)
    assert table["log_bayes_factor"][0] == 0.0
    best = max(expected.values())
    assert_allclose(table["log_bayes_factor"], [expected[m] - best for m in table["model"]], atol=0.02)


def test_evidence_is_refused_where_weights_are_unhealthy(answers):
    _, found = answers
    untrusted = dataclasses.replace(found[0.5], verdict="untrusted", reasons=("Pareto k-hat 1.2 exceeds 0.7.",))
    with pytest.raises(InputError, match=r"is untrusted, .* k-hat 1.2 exceeds 0.7"):
        untrusted.log_evidence()
    refined = dataclasses.replace(found[0.5], verdict="refined", log_q=None)
    with pytest.raises(InputError, match="is refined"):
        refined.log_evidence()


def test_answers_to_other_data_are_not_compared(answers):
    _, found = answers
    other = dataclasses.replace(found[0.5], observed={"y": np.ones(20)})
    with pytest.raises(InputError, match="'a' and 'b' answer different data"):
        posterity.compare({"a": found[0.5], "b": other})
    with pytest.raises(InputError, match="at least two answers"):
        posterity.compare({"a": found[0.5]})
