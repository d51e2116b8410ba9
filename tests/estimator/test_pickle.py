"""Estimators and posteriors in pickles and copies: the same answers where they arrive, and nothing read twice here."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpy.testing import assert_array_equal

import posterity

FIXTURES = Path(__file__).parents[1] / "fixtures"
RNG = np.random.default_rng(0)
TABLE = {"x": RNG.normal(size=30), "g": [f"g{i % 5}" for i in range(30)], "y": RNG.normal(size=30)}
ROWS = {"x": RNG.normal(size=(20, 2)), "y": RNG.normal(size=20)}
FORMULA = "y ~ x + (1 | g)"


def grouped(x, g, num_g, y=None):
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    with numpyro.plate("groups", num_g):
        u = numpyro.sample("u", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(a * x + u[g], 1.0), obs=y)


def series(y):
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("later", dist.Normal(a * y[:-1], 1.0), obs=y[1:])


GROUPED = {"x": TABLE["x"], "g": np.arange(30) % 5, "num_g": 5, "y": TABLE["y"]}
MAKE = {
    "built in": lambda: (posterity.informed("linear_regression"), ROWS),
    "trained": lambda: (posterity.load(FIXTURES / "regression.estimator"), ROWS),
    "groups": lambda: (posterity.informed(grouped, GROUPED), GROUPED),
    "one observation": lambda: (posterity.informed(series, {"y": TABLE["x"]}), {"y": TABLE["x"]}),
    "formula": lambda: (
        posterity.informed((made := posterity.from_formula(FORMULA, TABLE)).model, made.data),
        made.data,
    ),
}


@pytest.mark.parametrize("kind", MAKE)
def test_a_copy_answers_with_the_same_bits(kind):
    estimator, dataset = MAKE[kind]()
    posterior = estimator.infer(dataset, num_draws=50, refine_seconds=0.0)
    for other in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator), copy.copy(estimator)):
        assert repr(other) == repr(estimator) and other.model is estimator.model
        again = other.infer(dataset, num_draws=50, refine_seconds=0.0)
        for site, draws in posterior.proposed.items():
            assert_array_equal(again.proposed[site], draws)
    restored = pickle.loads(pickle.dumps(posterior))
    assert repr(restored) == repr(posterior)
    assert_array_equal(restored.proposal.log_q, posterior.log_q)
    z = jnp.zeros(posterior.model.space.size)
    assert float(restored.proposal.log_prob(z)) == float(posterior.proposal.log_prob(z))


def test_a_pickle_is_small():
    """A thousand estimators that go to a thousand workers: the network that ships does not travel."""
    assert len(pickle.dumps(MAKE["built in"]()[0])) < 5_000


def test_another_process_goes_on_with_it(tmp_path):
    posterior = posterity.infer(FORMULA, TABLE, num_draws=50, refine_seconds=0.0)
    (tmp_path / "posterior.pickle").write_bytes(pickle.dumps([posterior, posterity.from_formula(FORMULA, TABLE)]))
    program = (
        "import pickle; posterior, made = pickle.load(open('posterior.pickle', 'rb')); print(posterior); "
        "print(made.source)"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert repr(posterior) in done.stdout and "def model(" in done.stdout
