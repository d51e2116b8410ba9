"""The face of the package: train, infer."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import posterity
from posterity import Architecture, ForwardKL, InputError, TrainingConfig, ZScoredTables
from posterity.estimator.train import describe
from posterity.estimator.training_recipe import default_architecture
from posterity.simulation.builtin import builtin_simulator
from posterity.trust.weights import pareto_smoothed

SMALL = Architecture("deep_sets", "full", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1})
FAST = TrainingConfig(steps=10, batch_size=8, chunk_steps=10)


@pytest.fixture(scope="module")
def estimator():
    return posterity.train(
        "linear_regression",
        rows=(4, 8),
        plates={"features": (1, 3)},
        objective="forward",
        architecture=SMALL,
        config=FAST,
    )


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 2))
    return {"x": x, "y": x[:, 0] + 0.5 * rng.normal(size=8)}


def test_record_says_how_it_was_made(estimator):
    record = estimator.record
    assert record["objective"] == {"type": "ForwardKL"}
    assert record["stream"] == {"type": "Simulated"}
    assert record["training"]["stop_reason"] == "steps"
    assert record["envelope"] == {"rows": [4, 8], "plates": {"features": [1, 3]}}
    assert record["num_params"] > 0


@pytest.fixture(scope="module")
def posterior(estimator, dataset):
    return estimator.infer(dataset, refine_seconds=0.0, num_draws=60, columns={"x": ["bmi", "age"]})


def test_posterior_is_about_the_features_that_there_are(posterior):
    assert posterior.labels == {"w": ("w[bmi]", "w[age]"), "b": ("b",), "sigma": ("sigma",)}
    assert {site: draws.shape for site, draws in posterior.draws.items()} == {
        "w": (60, 2),
        "b": (60,),
        "sigma": (60,),
    }
    assert np.all(posterior["sigma"] > 0)
    assert posterior.axes[1]["features"] == ["bmi", "age"]
    assert posterior.num_rows == 8


def test_weights_are_those_of_the_log_joint(posterior, dataset):
    x, y = dataset["x"].astype(np.float32), dataset["y"].astype(np.float32)
    w, b, sigma = (posterior.proposed[site].astype(np.float64) for site in ("w", "b", "sigma"))
    mean = w @ x.T.astype(np.float64) + b[:, None]
    log_normal = lambda v, m, s: -0.5 * ((v - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)  # noqa: E731
    expected = (
        log_normal(y, mean, sigma[:, None]).sum(axis=1)
        + log_normal(w, 0.0, 1.0).sum(axis=1)
        + log_normal(b, 0.0, 1.0)
        + log_normal(sigma, 0.0, 1.0)
        + np.log(2.0)  # half-normal
        + np.log(sigma)  # log-det of exp
    )
    assert_allclose(posterior.log_joint, expected, rtol=1e-4, atol=1e-2)
    again = pareto_smoothed(np.asarray(posterior.log_joint, np.float64) - posterior.log_q)
    assert_allclose(posterior.weights.log_weights, again.log_weights)


def test_same_seed_same_draws(estimator, dataset):
    first, same, other = (estimator.infer(dataset, refine_seconds=0.0, num_draws=60, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.proposed["w"], same.proposed["w"])
    assert not np.array_equal(first.proposed["w"], other.proposed["w"])


def test_outside_the_envelope_is_answered_and_flagged(estimator):
    rng = np.random.default_rng(2)
    for rows in (3, 200):
        found = estimator.infer(
            {"x": rng.normal(size=(rows, 2)), "y": rng.normal(size=rows)}, refine_seconds=0.0, num_draws=60
        )
        assert any(f"{rows} rows lie outside the training envelope 4..8" in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((8, 4))}, "has 4 features, more than the 3"),
        ({"x": np.zeros(8)}, r"'x' must have shape \(rows, features\); got \(8,\)"),
        ({"y": np.zeros(9)}, "one entry per row"),
        ({"y": np.full(8, np.nan)}, "'y' has missing or infinite values in 8 of 8 rows, the first in row 0"),
        ({"y": None}, "'y' is missing"),
        ({"z": np.zeros(8)}, "unknown array 'z'"),
    ],
)
def test_datasets_that_do_not_fit(estimator, dataset, change, message):
    with pytest.raises(InputError, match=message):
        estimator.infer({**dataset, **change})


def test_number_of_draws_must_be_positive(estimator, dataset):
    with pytest.raises(InputError, match="number of draws must be from 1 to 1,000,000; got 0"):
        estimator.infer(dataset, refine_seconds=0.0, num_draws=0)


def test_training_refuses_what_cannot_work(estimator):
    with pytest.raises(InputError, match="needs an example that shows the shapes"):
        posterity.train(posterity.MODELS["gaussian_mean"].model)
    with pytest.raises(InputError, match=r"unknown model 'linear_regresion'.*Did you mean 'linear_regression'"):
        posterity.train("linear_regresion")
    simulator = estimator.simulator
    with pytest.raises(InputError, match="ZScoredTables has not"):
        posterity.train(simulator, objective=ForwardKL(), stream=ZScoredTables(), config=FAST)
    with pytest.raises(InputError, match="unknown posterior family 'gauss'"):
        posterity.train(simulator, architecture=Architecture(family="gauss"), config=FAST)
    wrong = Architecture(encoder_options={"widht": 3})
    with pytest.raises(InputError, match=r"DeepSets has no option 'widht'.*Did you mean 'width'"):
        posterity.train(simulator, architecture=wrong, config=FAST)


def test_default_family_follows_the_number_of_latents(estimator):
    assert default_architecture(estimator.simulator).family == "full"
    wide = builtin_simulator(posterity.MODELS["neural_regression"], (4, 8), (1, 1), check=False, hidden_size=32)
    assert wide.model.space.size > 64
    assert default_architecture(wide).family == "diagonal"


def test_describe_is_plain_data():
    symmetric = posterity.SymmetricKL(posterity.ReverseKL(num_samples=2), 0.3)
    assert describe(symmetric) == {
        "type": "SymmetricKL",
        "reverse": {"type": "ReverseKL", "num_samples": 2, "stick_the_landing": False, "kl_warmup": 0.0},
        "reverse_weight": 0.3,
    }
    rows = posterity.RealRows({"x": jnp.zeros((4, 2))})
    assert describe(rows) == {"type": "RealRows", "rows": {"x": [4, 2]}}


class Doubled:
    """A stream that satisfies the protocol, and is no dataclass."""

    has_latents = True

    def __init__(self):
        self.factor, self.table, self.law, self._cache = 2.0, np.zeros((3, 2)), np.exp, object()
        self.parts, self.inner = ("a", 1), posterity.Simulated()

    def draw(self, simulator, rng_key, row_mask, plate_masks):
        return simulator.simulate(rng_key, row_mask, plate_masks)


def test_any_stream_of_the_protocol_trains_and_is_told(estimator):
    brief = TrainingConfig(steps=1, batch_size=2, validate=False)
    trained = posterity.train(estimator.simulator, architecture=SMALL, stream=Doubled(), config=brief)
    told = {"factor": 2.0, "table": [3, 2], "law": "exp", "parts": ["a", 1], "inner": {"type": "Simulated"}}
    assert trained.record["stream"] == {"type": "Doubled", **told} == json.loads(json.dumps(trained.record["stream"]))
    assert trained.record["training"]["step"] == 1
    assert describe(object()) == {"type": "object"}
