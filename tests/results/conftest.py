"""One posterior, made without any network: a regression over columns with names."""

import numpy as np
import pytest

from posterity import MODELS, Posterior
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

COLUMNS = ("bmi", "age [years]", "bp")
NUM_ROWS = 12


@pytest.fixture(scope="session")
def make_posterior():
    """Builds a posterior; keyword arguments replace its fields, `log_joint` also its weights and verdict."""

    def make(num_draws=200, **changes):
        rng = np.random.default_rng(7)
        log_q = rng.normal(-3.0, 1.0, num_draws).astype(np.float32)
        log_joint = changes.pop("log_joint", log_q + 0.3 * rng.normal(size=num_draws) - 50.0)
        weights = pareto_smoothed(log_joint - log_q)
        verdict, reasons = judge(weights)
        proposed = {
            "w": rng.normal(size=(num_draws, len(COLUMNS))).astype(np.float32),
            "b": rng.normal(size=num_draws).astype(np.float32),
            "sigma": rng.uniform(0.5, 1.5, num_draws).astype(np.float32),
        }
        fields = {
            "model": MODELS["linear_regression"].read(len(COLUMNS)),
            "num_rows": NUM_ROWS,
            "num_draws": num_draws,
            "verdict": verdict,
            "reasons": reasons,
            "data": {"x": rng.normal(size=(NUM_ROWS, len(COLUMNS))), "y": rng.normal(size=NUM_ROWS)},
            "proposed": proposed,
            "log_q": log_q,
            "log_joint": log_joint,
            "is_of_q": np.ones(num_draws, bool),
            "weights": weights,
            "columns": {"x": COLUMNS},
            "seconds": 0.04,
        }
        return Posterior(**(fields | changes))

    return make


@pytest.fixture(scope="session")
def posterior(make_posterior):
    return make_posterior()


@pytest.fixture(scope="session")
def refined(make_posterior):
    """One whose draws are a sampler's, beside those of the q that it started from."""
    rng = np.random.default_rng(8)
    proposed = make_posterior().proposed
    return make_posterior(
        verdict="refined",
        reasons=("Refined by 4 chains.",),
        refined={site: rng.normal(size=values.shape).astype(np.float32) for site, values in proposed.items()},
        refined_log_joint=rng.normal(size=200),
        num_chains=2,
    )
