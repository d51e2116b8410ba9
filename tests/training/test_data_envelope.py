"""What training datasets looked like, and what about a dataset is unlike any of them."""

import json

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from cli.cases import FIXTURES
from jax import random

import posterity
from posterity import Envelope
from posterity.training import RealRows, Simulated
from posterity.training.data_envelope import DataEnvelope, measure_envelope

RANGES = {
    "x": {"mean": (-1.0, 1.0), "sd": (0.5, 2.0), "outlier": (1.0, 5.0)},
    "y": {"mean": (-2.0, 2.0), "sd": (0.5, 3.0), "outlier": (1.0, 4.0)},
}


@pytest.fixture
def inside():
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(100, 2)), "y": rng.normal(size=100)}


def test_data_like_those_in_training_give_no_reason(inside):
    assert DataEnvelope(RANGES).reasons(inside, {}) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d | {"x": d["x"] + np.array([0.0, 40.0])}, "column 'age' has mean 40"),
        (lambda d: d | {"x": d["x"] * np.array([20.0, 1.0])}, "column 'size' has sd 19"),
        (lambda d: d | {"x": d["x"] * np.array([1.0, 1e-3])}, "column 'age' has sd 0.00"),
        (lambda d: d | {"y": np.where(np.arange(100) == 3, 100.0, d["y"])}, "'y' has a value 9.89 sds from its mean"),
    ],
)
def test_each_way_to_be_unlike_is_named(inside, change, reason):
    found = DataEnvelope(RANGES).reasons(change(inside), {"x": ["size", "age"]})
    assert any(reason in sentence and "training datasets had" in sentence for sentence in found), found


def test_a_column_that_does_not_vary_is_an_intercept_and_not_compared(inside):
    ones = inside | {"x": np.column_stack([inside["x"][:, 0], np.full(100, 7.0)])}
    assert DataEnvelope(RANGES).reasons(ones, {}) == ()


def test_it_survives_json():
    envelope = DataEnvelope(RANGES)
    assert DataEnvelope.from_json(json.loads(json.dumps(envelope.to_json()))) == envelope


def model(x, y=None):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=x @ w), obs=y)


@pytest.fixture(scope="module")
def simulator():
    example = {"x": np.zeros((20, 2), np.float32), "y": np.zeros(20, np.float32)}
    return posterity.build_simulator(model, example, Envelope((20, 40)), covariates="normal", check=False)


def test_ranges_are_those_of_the_stream(simulator):
    """256 datasets of 20 to 40 rows: means within 5 / sqrt(20), sds not far from 1; classes have no mean."""
    ranges = measure_envelope(simulator, Simulated(), random.key(0)).ranges
    assert set(ranges) == {"x"}
    low, high = ranges["x"]["mean"]
    assert -1.2 < low < -0.3 and 0.3 < high < 1.2
    low, high = ranges["x"]["sd"]
    assert 0.3 < low < 0.8 and 1.2 < high < 1.8


def test_rows_of_a_table_may_be_the_stream(simulator):
    rows = {"x": jnp.full((5, 2), 3.0) + jnp.arange(5.0)[:, None], "y": jnp.zeros(5)}
    low, high = measure_envelope(simulator, RealRows(rows), random.key(0)).ranges["x"]["mean"]
    assert 3.0 < low < high < 7.0


def test_an_estimator_names_what_it_was_not_trained_on():
    """Of the record that training wrote and loading read."""
    loaded = posterity.load(FIXTURES / "regression.estimator")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2)) + np.array([0.0, 10.0])
    dataset = {"x": x, "y": rng.normal(size=20)}
    reasons = loaded.infer(dataset, num_draws=200, refine_seconds=0.0, columns={"x": ["size", "age"]}).reasons
    assert any("column 'age' has mean " in reason for reason in reasons), reasons
    assert not any("'size'" in reason for reason in reasons)
