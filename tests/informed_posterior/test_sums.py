"""A few rows of the same sums stand for many wherever a likelihood is quadratic in its rows, and nowhere else."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpy.testing import assert_allclose

import posterity
from posterity.inference import read as read_module
from posterity.informed_posterior.read.sums import sums_suffice
from posterity.model.builtin import MODELS
from posterity.model.read import read_model
from posterity.model.sums import same_sums
from posterity.runtime.precision import precision

NUM_ROWS = 60
RNG = np.random.default_rng(5)
X = RNG.normal(size=(NUM_ROWS, 3)) * (1.0, 5.0, 0.2) + (0.0, 3.0, 1.0)
DATA = {"x": X, "y": X @ (1.0, -0.3, 2.0) + 0.7 + 0.5 * RNG.normal(size=NUM_ROWS)}


def covariance(y):
    """Rows from one normal distribution of several dimensions."""
    mean = numpyro.sample("mean", dist.Normal(jnp.zeros(3), 2.0).to_event(1))
    sds = numpyro.sample("sds", dist.HalfNormal(jnp.ones(3)).to_event(1))
    factor = numpyro.sample("factor", dist.LKJCholesky(3, 1.0))
    with numpyro.plate("rows", y.shape[0]):
        numpyro.sample("y", dist.MultivariateNormal(mean, scale_tril=sds[:, None] * factor), obs=y)


def regression(noise):
    def model(x, y=None):
        w = numpyro.sample("w", dist.Laplace(jnp.zeros(3), 1.0).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("rows", x.shape[0]):
            numpyro.sample("y", noise(x, x @ w, sigma), obs=y)

    return model


NOISES = {
    "normal": (lambda x, eta, sigma: dist.Normal(eta, sigma), True),
    "student": (lambda x, eta, sigma: dist.StudentT(4.0, eta, sigma), False),
    "of a column": (lambda x, eta, sigma: dist.Normal(eta, sigma * jnp.exp(x[:, 0])), False),
    "squared column": (lambda x, eta, sigma: dist.Normal(eta + x[:, 0] ** 2, sigma), False),
    "lognormal": (lambda x, eta, sigma: dist.LogNormal(eta, sigma), False),
}


@pytest.mark.parametrize("noise", NOISES)
def test_sums_suffice_where_rows_are_quadratic_in_their_numbers(noise):
    make, suffice = NOISES[noise]
    y = np.exp(DATA["y"] / 10.0)
    model = read_model(regression(make), {"x": X.astype(np.float32), "y": y.astype(np.float32)})
    assert sums_suffice(model) == suffice


def test_of_builtin_models_and_a_covariance():
    found = {name for name, entry in MODELS.items() if sums_suffice(entry.read(3))}
    assert found == {"gaussian_mean", "linear_regression", "linear_regression_known_noise"}
    assert sums_suffice(read_model(covariance, {"y": X.astype(np.float32)}))


def test_few_rows_have_the_sums_of_many():
    """Float64: 1e-12 of the largest sum. One dataset has padded rows, one a column that is constant."""
    rows = RNG.normal(size=(3, 40, 4)) + 100.0
    rows[1, 25:], rows[2, :, 1] = 1e9, 7.0
    counts = np.array([40, 25, 40])
    few, weights = same_sums(rows, counts)
    assert few.shape == (3, 5, 4)
    for own, number, short, weight in zip(rows, counts, few, weights, strict=True):
        long, short = (np.column_stack([part, np.ones(len(part))]) for part in (own[:number], short))
        assert_allclose(weight * short.T @ short, long.T @ long, rtol=1e-12, atol=1e-9)


def test_what_a_column_adds_survives_however_little_it_is():
    """Noise of 1e-9 sds: its square would be lost among 64 bits."""
    x = RNG.normal(size=(1, 50, 2))
    noise = 1e-9 * RNG.normal(size=50)
    rows = np.concatenate([x, (x.sum(axis=2) + noise)[..., None]], axis=2)
    few, weights = same_sums(rows, np.array([50]))
    residuals = few[0, :, 2] - few[0, :, :2].sum(axis=1)
    assert_allclose(weights[0] * np.sum(residuals**2), np.sum(noise**2), rtol=1e-4)


@pytest.mark.parametrize("model", ["linear_regression", "linear_regression_known_noise"])
@pytest.mark.parametrize(("double", "sds", "nats"), [(False, 0.01, 0.05), (True, 1e-8, 1e-9)])
def test_draws_and_verdict_are_those_of_the_rows(model, double, sds, nats, monkeypatch):
    """With 64 bits to rounding; with 32 nearly: rounding of the evidence moves the tails of a scale's density."""
    found = {}
    for by_sums in (True, False):
        monkeypatch.setattr(read_module, "FEWEST_SUMMED", 1 if by_sums else 10**9)
        with precision(double):
            found[by_sums] = posterity.infer(model, DATA, num_draws=400, seed=1)
        assert found[by_sums].by_sums == by_sums
    few, all_rows = found[True], found[False]
    assert few.verdict == all_rows.verdict == "corrected"
    for site, draws in all_rows.proposed.items():
        assert_allclose(few.proposed[site], draws, rtol=0, atol=sds * np.max(draws.std(axis=0)))
    assert_allclose(few.log_joint, all_rows.log_joint, rtol=0, atol=nats)
    assert_allclose(few.log_evidence.value, all_rows.log_evidence.value, rtol=0, atol=nats)
    assert few.predict({"x": X[:3]}).mean.shape == (3,)


def test_many_rows_are_answered_by_their_sums_in_64_bits(monkeypatch):
    monkeypatch.setattr(read_module, "FEWEST_SUMMED", 50)
    monkeypatch.setattr(read_module, "FEWEST_DOUBLED", 50)
    post = posterity.infer("linear_regression", DATA, num_draws=100)
    assert post.by_sums and post.log_joint.dtype == np.float64 and post.verdict == "corrected"
    assert len(post.data["y"]) == NUM_ROWS


def test_a_wrong_shortcut_would_be_seen(monkeypatch):
    """Every answer's log joint is computed again from the rows themselves."""
    monkeypatch.setattr(read_module, "FEWEST_SUMMED", 50)
    monkeypatch.setattr(read_module, "same_sums", lambda *given: tuple(1.02 * part for part in same_sums(*given)))
    post = posterity.infer("linear_regression", DATA, num_draws=100, refine_seconds=0.0)
    assert post.verdict == "untrusted" and "computed twice came out differently" in post.reasons[0]
