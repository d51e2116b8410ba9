"""Log evidence against closed forms, and models compared by it."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

import posterity
from posterity.results.evidence import log_evidence
from posterity.runtime.errors import InputError


@pytest.fixture(scope="module")
def posteriors():
    """One dataset under three priors of a conjugate regression, noise sd 0.5."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2))
    data = {"x": x, "y": x @ [0.5, -0.3] + 0.5 * rng.normal(size=20)}
    found = {}
    for prior_sd in (0.05, 0.5, 20.0):
        options = {"prior_sd": prior_sd, "noise_sd": 0.5}
        found[prior_sd] = posterity.infer("linear_regression_known_noise", data, options=options, num_draws=2000)
    return data, found


def closed_form(data, prior_sd):
    design = np.concatenate([data["x"], np.ones((20, 1))], axis=1)
    covariance = 0.25 * np.eye(20) + prior_sd**2 * design @ design.T
    return multivariate_normal(np.zeros(20), covariance).logpdf(data["y"])


def test_evidence_is_the_closed_form(posteriors):
    data, found = posteriors
    for prior_sd, posterior in found.items():
        evidence = posterior.log_evidence
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
        evidence = log_evidence(3.0 - 0.5 * (z / 0.8) ** 2 - np.log(0.8), -0.5 * z**2)
        scores.append((evidence.value - 3.0) / evidence.standard_error)
    assert abs(np.mean(scores)) < 0.35
    assert 0.8 < np.std(scores) < 1.2


def test_models_are_compared_best_first(posteriors):
    data, found = posteriors
    table = posterity.compare({str(sd): posterior for sd, posterior in found.items()})
    expected = {str(sd): closed_form(data, sd) for sd in found}
    assert table["model"].to_list() == sorted(expected, key=expected.get, reverse=True)
    assert_allclose(table["probability"].sum(), 1.0)
    assert table["log_bayes_factor"][0] == 0.0
    best = max(expected.values())
    assert_allclose(table["log_bayes_factor"], [expected[m] - best for m in table["model"]], atol=0.02)


def test_evidence_is_refused_where_weights_are_unhealthy(posteriors):
    _, found = posteriors
    untrusted = dataclasses.replace(found[0.5], verdict="untrusted", reasons=("Pareto k-hat 1.2 exceeds 0.7.",))
    with pytest.raises(InputError, match=r"is untrusted, .* k-hat 1.2 exceeds 0.7"):
        _ = untrusted.log_evidence
    refined = dataclasses.replace(found[0.5], verdict="refined")
    with pytest.raises(InputError, match="is refined"):
        _ = refined.log_evidence


def test_posteriors_of_other_data_are_not_compared(posteriors):
    data, found = posteriors
    other = dataclasses.replace(found[0.5], data={**data, "y": np.ones(20)})
    with pytest.raises(InputError, match="'a' and 'b' belong to different data"):
        posterity.compare({"a": found[0.5], "b": other})
    with pytest.raises(InputError, match="at least two posteriors"):
        posterity.compare({"a": found[0.5]})
