"""Predictions of new rows against closed forms, in turns, and refused where they would mislead."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
from jax import random
from numpy.testing import assert_allclose

import posterity
from posterity import read_model
from posterity.results import predict as predicting
from posterity.results.by_row import replicated_data
from posterity.runtime.errors import InputError
from posterity.trust.weights import ImportanceWeights, pareto_smoothed

NUM_DRAWS = 4000


def line(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x, 0.5), obs=y)


def choice(x, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.CategoricalLogits(slope * x[:, None] * np.array([0.0, 1.0, 2.0])), obs=y)


def visits(shop, x, y=None, tips=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("shops", 3):
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.GeometricLogits(level[shop] + slope * x), obs=y)
    numpyro.sample("tips", dist.Normal(slope * x, 1.0), obs=tips)


def rows_only(y):
    mu = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


@pytest.fixture(scope="module")
def posterior_of(make_posterior):
    """A posterior whose draws of the slope are N(1, 0.2^2), without any network."""

    def make(function, example, **changes):
        rng = np.random.default_rng(3)
        data = {name: np.asarray(array) for name, array in example.items()}
        fields = {
            "model": read_model(function, example),
            "data": data,
            "num_rows": len(data["y"]),
            "proposed": {"slope": rng.normal(1.0, 0.2, NUM_DRAWS).astype(np.float32)},
            "log_joint": np.zeros(NUM_DRAWS),
            "log_q": np.zeros(NUM_DRAWS),
            "weights": pareto_smoothed(np.zeros(NUM_DRAWS)),
            "verdict": "corrected",
            "columns": {},
        }
        return make_posterior(NUM_DRAWS, **(fields | changes))

    return make


@pytest.fixture(scope="module")
def linear(posterior_of):
    return posterior_of(line, {"x": np.zeros(5), "y": np.zeros(5)})


def test_real_values_have_mean_and_bounds_of_the_predictive_normal(linear):
    """N(x, 0.25 + 0.04 x^2). Of 4000 draws the mean errs by sd/63, the 5% quantile by about twice that."""
    x = np.array([-2.0, 0.0, 3.0])
    found = linear.predict({"x": x}, interval=0.9)
    sd = np.sqrt(0.25 + 0.04 * x**2)
    assert found.kind == "real" and found.classes == ()
    assert np.all(np.abs(found.mean - x) < 5 * sd / 63)
    assert np.all(np.abs(found.median - x) < 7 * sd / 63)
    for bound, level in ((found.lower, 0.05), (found.upper, 0.95)):
        assert np.all(np.abs(bound - (x + scipy.stats.norm.ppf(level) * sd)) < 10 * sd / 63)
    narrow = linear.predict({"x": x}, interval=0.5)
    assert np.all(narrow.upper - narrow.lower < 0.6 * (found.upper - found.lower))


def test_untrusted_weights_are_left_out_and_trusted_ones_used(posterior_of):
    """All weight on the draws above 1 moves the mean by 0.2 sqrt(2/pi) at x = 1."""
    example = {"x": np.zeros(5), "y": np.zeros(5)}
    draws = posterior_of(line, example).draws["slope"]
    chosen = np.where(draws > 1.0, 0.0, -np.inf)
    weights = ImportanceWeights(chosen - np.log(np.exp(chosen).sum()), 0.1, 2000.0)
    shifts = {
        verdict: posterior_of(line, example, weights=weights, verdict=verdict).predict({"x": [1.0]}).mean[0] - 1.0
        for verdict in ("corrected", "untrusted")
    }
    assert shifts["corrected"] == pytest.approx(0.2 * np.sqrt(2 / np.pi), abs=0.05)
    assert shifts["untrusted"] == pytest.approx(0.0, abs=0.05)


def test_classes_have_the_probabilities_of_the_likelihood(posterior_of):
    posterior = posterior_of(choice, {"x": np.zeros(5), "y": np.zeros(5, np.int32)})
    found = posterior.predict({"x": [-1.0, 2.0]}, interval=0.8)
    logits = posterior.draws["slope"][:, None, None] * np.array([-1.0, 2.0])[:, None] * np.array([0.0, 1.0, 2.0])
    expected = scipy.special.softmax(logits, axis=-1)
    assert_allclose(found.mean, expected.mean(axis=0), rtol=1e-5)
    assert_allclose(found.mean.sum(axis=-1), 1.0, rtol=1e-5)
    assert_allclose(found.lower, np.quantile(expected, 0.1, axis=0), rtol=1e-4)
    frame = found.to_frame()
    assert frame["predicted"].to_list() == ["0", "2"]
    assert frame.columns[:5] == ["row", "predicted", "p[0]", "lower[0]", "upper[0]"]


@pytest.fixture(scope="module")
def counts(posterior_of):
    example = {"shop": np.array([0, 1, 1, 0]), "x": np.zeros(4), "y": np.zeros(4, np.int32), "tips": np.zeros(4)}
    rng = np.random.default_rng(3)
    slope, level = rng.normal(0.0, 0.1, NUM_DRAWS), rng.normal(-1.0, 0.1, (NUM_DRAWS, 3))
    return posterior_of(visits, example, proposed={"slope": slope.astype("f4"), "level": level.astype("f4")})


def test_counts_have_bounds_that_are_counts(counts):
    found = counts.predict({"shop": [0, 1], "x": [0.0, 1.0]}, argument="y")
    for statistic in (found.median, found.lower, found.upper):
        assert np.all(statistic == np.round(statistic))
    assert found.kind == "count" and np.all(found.lower == 0) and np.all(found.mean > found.median)


def growth(likelihood):
    def model(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        numpyro.sample("y", likelihood(jnp.exp(a + b * x)), obs=y)

    return model


LIKELIHOODS = {  # and the mean in multiples of the rate
    "poisson": (dist.Poisson, 1.0),
    "negative binomial": (lambda rate: dist.NegativeBinomial2(rate, 8.0), 1.0),
    "zero-inflated": (lambda rate: dist.ZeroInflatedPoisson(0.25, rate), 0.75),
}


@pytest.fixture(scope="module")
def growing(posterior_of):
    def make(likelihood, sd):
        rng = np.random.default_rng(3)
        draws = {"a": np.full(NUM_DRAWS, 1.0, "f4"), "b": rng.normal(2.0, sd, NUM_DRAWS).astype("f4")}
        return posterior_of(growth(likelihood), {"x": np.zeros(5), "y": np.zeros(5, np.int32)}, proposed=draws)

    return make


@pytest.mark.parametrize(("likelihood", "factor"), LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_counts_beyond_32_bits_are_predicted(likelihood, factor, growing):
    """At x = 10.5 the rate is e^22 = 3.6e9, where int32 ends at 2.1e9; it varies by 0.1 on the log scale."""
    posterior = growing(likelihood, 0.1 / 10.5)
    found = posterior.predict({"x": [0.5, 10.5]})
    rate = np.exp(1.0 + posterior.draws["b"].astype(float)[:, None] * [0.5, 10.5])
    assert_allclose(found.mean, factor * rate.mean(axis=0), rtol=1e-4)
    assert found.upper[1] > np.quantile(rate[:, 1], 0.95) * 0.98
    assert np.all(found.upper == np.round(found.upper))
    if likelihood is dist.Poisson:
        assert_allclose([found.lower[1], found.upper[1]], np.quantile(rate[:, 1], [0.05, 0.95]), rtol=2e-3)


def test_means_that_overflow_are_told(growing):
    with pytest.warns(RuntimeWarning, match="mean of 'y' is not finite in 1 of 3 new rows, the first in row 1"):
        found = growing(dist.Poisson, 0.01).predict({"x": [0.5, 60.0, 1.0]})
    assert found.mean[1] == np.inf and np.isfinite(found.mean[[0, 2]]).all()
    assert "is not finite in 1 of 3 new rows" in found.reasons[-1] and found.lower[1] == np.inf


def test_replicated_counts_are_whole_numbers_of_64_bits(growing):
    posterior = growing(dist.Poisson, 0.1)
    large = {"x": np.full(3, 10.5), "y": np.zeros(3, np.int32)}
    made = replicated_data(posterior.model, posterior.draws, large, random.key(0))["y"]
    assert made.dtype == np.int64 and made.max() > 2**31
    huge = replicated_data(posterior.model, posterior.draws, {**large, "x": np.full(3, 60.0)}, random.key(0))["y"]
    assert huge.dtype == np.float64 and np.isinf(huge).all()


def test_turns_of_rows_predict_the_same(linear, monkeypatch):
    x = np.linspace(-1.0, 1.0, 19)
    whole = linear.predict({"x": x})
    monkeypatch.setattr(predicting, "VALUES_AT_ONCE", 8 * NUM_DRAWS)
    turns = linear.predict({"x": x})
    assert turns.mean.shape == (19,)
    assert_allclose(turns.mean, whole.mean, atol=6 * 0.54 / NUM_DRAWS**0.5 * 2**0.5)


def test_the_seed_decides_the_noise(linear):
    rows = {"x": [1.0]}
    assert linear.predict(rows, seed=1).mean == linear.predict(rows, seed=1).mean != linear.predict(rows).mean


def test_data_of_the_new_rows_are_not_read(linear):
    assert linear.predict({"x": [1.0], "y": [np.nan]}).mean == linear.predict({"x": [1.0]}).mean


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "new rows lack 'x'; 'line' takes x"),
        ({"x": [1.0], "z": [1.0]}, "unknown array 'z'"),
        ({"x": [[1.0]]}, r"'x' must have shape \(rows\)"),
        ({"x": [np.nan]}, "missing or infinite values in 1 of 1 rows, the first in row 0"),
        ({"x": np.ma.masked_values([1.0, -9.0], -9.0)}, "'x' of the new rows has missing values in 1 of 2 .* row 1"),
        ({"x": []}, "no rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(linear, rows, message):
    with pytest.raises(InputError, match=message):
        linear.predict(rows)


@pytest.mark.parametrize("interval", [0.0, 1.0, 90.0])
def test_an_interval_is_a_probability(linear, interval):
    with pytest.raises(InputError, match="interval must be a probability above 0 and below 1"):
        linear.predict({"x": [1.0]}, interval=interval)


def test_what_cannot_be_predicted_is_refused(counts, posterior_of):
    with pytest.raises(InputError, match="observes y, tips; say which"):
        counts.predict({"shop": [0], "x": [0.0]})
    with pytest.raises(InputError, match="index 3 in row 1, but the axis that it picks from has 0 to 2"):
        counts.predict({"shop": [0, 3], "x": [0.0, 0.0]}, argument="y")
    with pytest.raises(InputError, match="'rows_only' has no covariates"):
        posterior_of(rows_only, {"y": np.zeros(5)}).predict({})


def test_a_distribution_without_draws_is_answered_but_not_predicted(tmp_path):
    class Sech(dist.Distribution):
        support = dist.constraints.real

        def __init__(self, loc):
            self.loc = loc
            super().__init__(jnp.shape(loc), ())

        def log_prob(self, value):
            return -jnp.log(jnp.pi * jnp.cosh(value - self.loc))

    def model(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.sample("y", Sech(a * x), obs=y)

    x = np.linspace(-1.0, 1.0, 20)
    posterior = posterity.infer(model, {"x": x, "y": x})
    assert posterior.verdict == "corrected"
    with pytest.raises(InputError, match=r"'y' cannot be drawn \(NotImplementedError: its distribution has no sample"):
        posterior.predict({"x": x})
    posterior.report(tmp_path / "report.html")
    assert "cannot be drawn" in (tmp_path / "report.html").read_text()
