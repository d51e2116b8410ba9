"""Log likelihoods and replicated data by row, against SciPy, at padded rows and plates."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from jax import random
from numpy.testing import assert_allclose, assert_array_equal

from posterity import read_model
from posterity.results import arviz, by_row
from posterity.results.axes import argument_axes
from posterity.results.resampling import resampled_indices
from posterity.runtime.errors import InputError
from posterity.trust.weights import pareto_smoothed

NUM_ROWS, NUM_DRAWS = 11, 200


def sales(x, counts=None):
    """The site is not called like its argument, the rows not like the usual plate, the latent has a scope."""
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("shop/w", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("days", x.shape[0]):
        numpyro.sample("obs", dist.GeometricLogits(x @ w + b), obs=counts)


@pytest.fixture(scope="module")
def model():
    return read_model(sales, {"x": np.zeros((6, 3)), "counts": np.zeros(6, np.int32)}, {"features": 3})


@pytest.fixture(scope="module")
def arrays():
    """Two of the three features that there may be."""
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(NUM_ROWS, 2)).astype(np.float32),
        "counts": rng.poisson(2.0, NUM_ROWS).astype(np.int32),
    }


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(1)
    w, b = rng.normal(0.0, 0.1, (NUM_DRAWS, 2)), rng.normal(0.5, 0.1, NUM_DRAWS)
    return {"shop/w": w.astype(np.float32), "b": b.astype(np.float32)}


@pytest.fixture(scope="module")
def posterior(make_posterior, model, arrays, draws):
    return make_posterior(
        NUM_DRAWS,
        model=model,
        proposed=draws,
        data=arrays,
        columns={"x": ["heat", "rain"]},
        num_rows=NUM_ROWS,
        verdict="corrected",
    )


def distribution(arrays, draws):
    logits = draws["shop/w"] @ arrays["x"].T + draws["b"][:, None]
    return scipy.stats.geom(1.0 / (1.0 + np.exp(-logits)), loc=-1)  # failures before the first success


def test_log_likelihoods_are_those_of_scipy(model, arrays, draws):
    found = by_row.row_log_likelihood(model, draws, arrays)
    assert_allclose(found["counts"], distribution(arrays, draws).logpmf(arrays["counts"]), rtol=2e-5)


def test_turns_change_nothing(model, arrays, draws, monkeypatch):
    """Thirty draws at once do not divide 200: the last turn is not full."""
    key = random.key(3)
    whole = by_row.row_log_likelihood(model, draws, arrays), by_row.replicated_data(model, draws, arrays, key)
    monkeypatch.setattr(by_row, "VALUES_AT_ONCE", 30 * 16)
    turns = by_row.row_log_likelihood(model, draws, arrays), by_row.replicated_data(model, draws, arrays, key)
    assert_allclose(turns[0]["counts"], whole[0]["counts"], rtol=1e-5)
    assert_array_equal(turns[1]["counts"], whole[1]["counts"])


def test_replicated_data_follow_the_likelihood_at_each_draw(model, arrays, draws):
    """Squared z-scores of 2200 geometric values have sd 2.9 each: 5 standard errors, 1 false alarm in 10^6."""
    made = by_row.replicated_data(model, draws, arrays, random.key(0))["counts"]
    mean, variance = distribution(arrays, draws).stats("mv")
    assert made.shape == mean.shape and made.dtype == np.int64
    assert np.mean((made - mean) ** 2 / variance) == pytest.approx(1.0, abs=5 * 2.9 / made.size**0.5)
    assert len(np.unique(made - made[:1], axis=0)) > NUM_DRAWS / 2  # each draw has noise of its own


def test_groups_on_request_have_the_rows_of_the_model(posterior, arrays):
    from arviz_stats import loo

    found = posterior.to_arviz(groups=["log_likelihood", "posterior_predictive"])
    for group in ("log_likelihood", "posterior_predictive"):
        assert found[group]["counts"].dims == ("chain", "draw", "days")
    assert found.constant_data["x"].dims == ("days", "features")
    assert found.constant_data["features"].values.tolist() == ["heat", "rain"]
    index = found.sample_stats["index"].values[0]
    thinned = {site: values[index] for site, values in posterior.proposed.items()}
    expected = distribution(arrays, thinned).logpmf(arrays["counts"])
    assert_allclose(found.log_likelihood["counts"][0], expected, rtol=2e-5)
    assert loo(found).n_data_points == NUM_ROWS


def test_groups_too_large_for_memory_are_refused_with_what_would_fit(posterior, monkeypatch):
    monkeypatch.setattr(arviz, "MAX_VALUES", 100)
    with pytest.raises(InputError, match=r"'log_likelihood' would hold 200 draws of 11 values each.*num_draws=9"):
        posterior.to_arviz(groups=["log_likelihood"])
    assert posterior.to_arviz(num_draws=9, groups=["log_likelihood"]).log_likelihood.sizes["draw"] == 9


def spread(x, z, y=None):
    s = numpyro.sample("s", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(s * x.sum(-1) + z.sum(-1), 1.0), obs=y)


def test_an_axis_without_a_plate_gets_a_name_of_its_own():
    example = {"x": np.zeros((6, 2)), "z": np.zeros((6, 3)), "y": np.zeros(6)}
    dims, coords = argument_axes(read_model(spread, example), {}, {"x": ["a", "b"]})
    assert dims == {"x": ("observations", "x_dim_0"), "z": ("observations", "z_dim_0"), "y": ("observations",)}
    assert coords == {"x_dim_0": ["a", "b"]}


def test_equal_weights_thin_evenly():
    assert_array_equal(resampled_indices(None, 12, 12), np.arange(12))
    assert_array_equal(resampled_indices(None, 12, 4), [1, 4, 7, 10])
    weights = pareto_smoothed(np.array([0.0] * 30)).log_weights
    assert_array_equal(resampled_indices(weights, 30, 30), np.arange(30))
    assert_array_equal(resampled_indices(np.array([-np.inf, 0.0, -np.inf]), 3, 5), [1] * 5)
