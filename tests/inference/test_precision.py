"""Where 32 bits are too few, 64 are taken: answers do not depend on units, nor on how large counts are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import posterity
from posterity.runtime.precision import is_double, narrowed, needs_double, precision
from posterity.trust.agreement import is_one_of_few, too_coarse

RNG = np.random.default_rng(0)
X = RNG.normal(size=40)
Y = 1.0 + 2.0 * X + 0.5 * RNG.normal(size=40)
TOLERANCE = 0.25  # sds; 5 standard errors of 400 effective draws: 6e-7 false alarms for each number


@functools.cache
def line(unit):
    """A regression of which everything, priors included, is in one unit."""

    def model(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 10.0 * unit))
        b = numpyro.sample("b", dist.Normal(0.0, 10.0 * unit))
        s = numpyro.sample("s", dist.HalfNormal(unit))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("y", dist.Normal(a + b * x, s), obs=y)

    return model


def close(found, right, name, unit=1.0):
    """Means within `TOLERANCE` sds, sds within 15%."""
    mean, sd = found[name].mean() / unit, found[name].std() / unit
    return abs(mean - right[name].mean()) < TOLERANCE * right[name].std() and abs(sd / right[name].std() - 1.0) < 0.15


SLOW = pytest.mark.slow


@pytest.mark.parametrize("unit", [1e-12, *(pytest.param(u, marks=SLOW) for u in (1e-30, 1e-9, 1e9, 1e12, 1e30))])
def test_answers_do_not_depend_on_the_unit(unit):
    right = posterity.infer(line(1.0), {"x": X, "y": Y})
    found = posterity.infer(line(unit), {"x": X, "y": Y * unit})
    assert found.verdict == "corrected" and found.ess > 900.0
    assert all(close(found, right, name, unit) for name in "abs")


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(power=st.floats(-30.0, 30.0))
def test_answers_do_not_depend_on_any_unit(power):
    test_answers_do_not_depend_on_the_unit(10.0**power)


@pytest.mark.parametrize("rate", [1e9, *(pytest.param(r, marks=SLOW) for r in (5.0, 1e5, 1e7, 1e11))])
def test_counts_of_any_size_are_answered(rate):
    """A Poisson rate under a flat prior of its logarithm is Gamma; N(0, 10) is as good as flat here."""

    def model(y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 100.0))
        with numpyro.plate("observations", 50 if y is None else y.shape[0]):
            numpyro.sample("y", dist.Poisson(jnp.exp(a)), obs=y)

    y = np.random.default_rng(1).poisson(rate, 50)
    found = posterity.infer(model, {"y": y})
    exact = np.log(stats.gamma(y.sum(), scale=1 / len(y)).rvs(4000, random_state=0))
    assert found.verdict == "corrected" and found.ess > 900.0
    assert abs(found["a"].mean() - exact.mean()) < TOLERANCE * exact.std()
    assert found["a"].std() == pytest.approx(exact.std(), rel=0.15)


def test_integers_that_would_overflow_in_32_bits():
    def model(pop, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        with numpyro.plate("observations", pop.shape[0]):
            numpyro.sample("y", dist.Normal(a + b * (pop // 10) * (pop * 30) / 1e17, 0.1), obs=y)

    rng = np.random.default_rng(2)
    pop = rng.integers(50_000_000, 200_000_000, 60)
    scaled = (pop // 10) * (pop * 30.0) / 1e17
    y = 0.5 + 0.7 * scaled + 0.1 * rng.normal(size=60)
    found = posterity.infer(model, {"pop": pop, "y": y})
    design = np.column_stack([np.ones(60), scaled])
    precision_matrix = np.eye(2) + design.T @ design / 0.01
    mean, sds = (
        np.linalg.solve(precision_matrix, design.T @ y / 0.01),
        np.sqrt(np.diag(np.linalg.inv(precision_matrix))),
    )
    assert found.verdict == "corrected"
    assert abs(found["a"].mean() - mean[0]) < TOLERANCE * sds[0]
    assert abs(found["b"].mean() - mean[1]) < TOLERANCE * sds[1]


@pytest.mark.parametrize("dtype", [np.int64, *(pytest.param(d, marks=SLOW) for d in (np.uint64, float))])
def test_integers_beyond_32_bits_are_numbers_like_any_other(dtype):
    def model(y=None):
        a = numpyro.sample("a", dist.Normal(3e9, 1e9))
        with numpyro.plate("observations", 30 if y is None else y.shape[0]):
            numpyro.sample("y", dist.Normal(a, 1e8), obs=y)

    y = np.random.default_rng(3).normal(3e9, 1e8, 30).astype(dtype)
    found = posterity.infer(model, {"y": y})
    sd = 1.0 / np.sqrt(1e-18 + 30 * 1e-16)
    assert found.verdict == "corrected"
    assert abs(found["a"].mean() - sd**2 * (3e9 * 1e-18 + y.astype(float).sum() * 1e-16)) < TOLERANCE * sd


@pytest.mark.slow
def test_a_covariate_that_varies_little_around_a_large_number():
    """Seconds since 1970, of which a model subtracts the first: 32-bit floats tell them apart by 128 seconds."""

    def model(t, y=None):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        with numpyro.plate("observations", t.shape[0]):
            numpyro.sample("y", dist.Normal(b * (t - 1.7e9), 1.0), obs=y)

    t = 1.7e9 + np.linspace(0.0, 60.0, 40)
    y = 0.3 * (t - 1.7e9) + np.random.default_rng(4).normal(size=40)
    found = posterity.infer(model, {"t": t, "y": y})
    needed = 1.0 + np.sum((t - 1.7e9) ** 2)
    assert found.verdict == "corrected"
    assert abs(found["b"].mean() - np.sum((t - 1.7e9) * y) / needed) < TOLERANCE / np.sqrt(needed)


@pytest.mark.slow
def test_negative_binomial_with_hardly_any_overdispersion():
    """32-bit floats make false peaks at concentrations of 10^9; the posterior is that of Poisson, nearly."""

    def model(y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 10.0))
        s = numpyro.sample("s", dist.HalfNormal(1.0))
        with numpyro.plate("observations", 40 if y is None else y.shape[0]):
            numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(a), 1.0 / s**2), obs=y)

    y = np.random.default_rng(5).poisson(50, 40)
    found = posterity.infer(model, {"y": y})
    assert found.verdict in ("corrected", "refined")
    assert abs(found["a"].mean() - np.log(y.mean())) < 0.02 and 0.8 < found["a"].std() * np.sqrt(y.sum()) < 1.5
    assert found["s"].max() < 0.5


def test_a_dataset_alone_and_among_others_is_the_same_whatever_the_precision():
    estimator = posterity.informed(line(1.0), like={"x": X, "y": Y})
    datasets = [{"x": X, "y": Y}, {"x": X, "y": 1e7 + 1e-3 * Y}, {"x": X, "y": -Y}]
    together = estimator.infer_each(datasets, names=list("abc"), refine_seconds=0.0)
    for name, dataset, found in zip("abc", datasets, together, strict=True):
        alone = estimator.infer(dataset, name=name, refine_seconds=0.0)
        assert np.array_equal(alone["a"], found["a"]) and alone["a"].dtype == found["a"].dtype
    assert together[1]["a"].dtype == np.float64 and together[0]["a"].dtype == np.float32


@pytest.mark.slow
def test_predictions_and_exports_keep_the_precision(tmp_path):
    y = np.random.default_rng(6).poisson(3e9 * np.exp(0.1 * X))
    found = posterity.infer("poisson_regression", {"x": X[:, None], "y": y})
    assert found.verdict == "corrected"
    predicted = found.predict({"x": X[:, None]})
    np.testing.assert_allclose(predicted.mean, 3e9 * np.exp(0.1 * X), rtol=1e-3)
    tree = found.to_arviz(log_likelihood=True, posterior_predictive=True)
    assert float(tree["log_likelihood"]["y"].mean()) > -20.0  # as densities of N(y, y) are
    found.report(tmp_path / "report.html")


def test_this_thread_alone_computes_with_64_bits():
    assert not is_double() and jnp.zeros(2).dtype == np.float32
    with precision(True):
        assert is_double() and jnp.zeros(2).dtype == np.float64
        with precision(False):
            assert jnp.zeros(2).dtype == np.float32
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("array", "needed"),
    [
        (np.array([0.1, 0.2]), False),
        (np.array([0.1, 0.1]), False),
        (np.array([1e30, -1e30]), False),
        (1e7 + np.array([0.0, 1e-2]), True),
        (np.array([1e-45, 2e-45]), True),
        (np.array([1e39, 1.0]), True),
        (np.array([1, 2**31]), True),
        (np.array([1, 2]), False),
        (np.array([True, False]), False),
        (np.zeros((3, 0)), False),
    ],
)
def test_what_32_bits_lose(array, needed):
    assert needs_double([array]) == needed
    assert narrowed(array).dtype.itemsize <= 4


def test_coarse_log_joints_and_draws_are_noticed():
    exact = np.linspace(1e7, 1e7 + 3.0, 8)
    assert too_coarse(exact.astype(np.float32), exact)
    assert not too_coarse(exact + 5.0, exact)  # a common shift changes no weight
    assert too_coarse(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))
    z = np.random.default_rng(0).normal(size=(100, 1))
    assert is_one_of_few((15.0 + 1e-5 * z).astype(np.float32))
    assert not is_one_of_few((15.0 + 1e-2 * z).astype(np.float32)) and not is_one_of_few(15.0 + 1e-9 * z)
