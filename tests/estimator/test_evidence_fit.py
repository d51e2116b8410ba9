"""`evidence_fit`: quiet about data of the prior, loud about data that the prior hardly makes."""

import dataclasses

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import posterity


def line(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(w * x, 0.5), obs=y)


X = np.random.default_rng(0).normal(size=12)


@pytest.fixture(scope="module")
def estimator():
    return posterity.informed(line, {"x": X, "y": X}, check=False)


def looked_at(estimator, y):
    posterior = estimator.infer({"x": X, "y": y}, refine_seconds=0.0)
    return posterity.evidence_fit(estimator, posterior, num_datasets=100, num_draws=500)


def test_data_of_the_prior_have_usual_evidence(estimator):
    """Against its closed form: y ~ N(0, xx' + I / 4). A p-value of a right model below 0.001 is 1 in 1000."""
    y = 0.7 * X + 0.5 * np.random.default_rng(1).normal(size=12)
    found = looked_at(estimator, y)
    covariance = np.outer(X, X) + 0.25 * np.eye(12)
    exact = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2.0 * np.pi * covariance)[1])
    assert found.log_evidence == pytest.approx(exact, abs=0.01)
    assert found.p_value > 0.001 and found.num_datasets == found.num_simulated == 100
    assert str(found).endswith(f"p = {found.p_value:.2g}.") and found.low < found.high


def test_a_gain_is_seen(estimator):
    """Noise of sd 2 where the model knows 0.5: no latent can take that up."""
    y = 0.7 * X + 2.0 * np.random.default_rng(1).normal(size=12)
    assert looked_at(estimator, y).p_value == pytest.approx(2.0 / 101.0)


def test_an_untrusted_posterior_has_none(estimator):
    few = dataclasses.replace(estimator.infer({"x": X, "y": X}, refine_seconds=0.0), verdict="untrusted")
    with pytest.raises(posterity.InputError, match="only the weights of a corrected one"):
        posterity.evidence_fit(estimator, few)
