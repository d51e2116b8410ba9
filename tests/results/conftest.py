"""One answer, made without any model: two sites, one of them over columns with names."""

import numpy as np
import pytest

from posterity.results.data import Answer
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

COLUMNS = ("bmi", "age [years]", "bp")
NUM_ROWS = 12


@pytest.fixture
def make_answer():
    """Builds an answer; keyword arguments replace its fields, `log_joint` also its weights and verdict."""

    def make(num_draws=200, **changes):
        rng = np.random.default_rng(7)
        log_q = rng.normal(-3.0, 1.0, num_draws).astype(np.float32)
        log_joint = changes.pop("log_joint", log_q + 0.3 * rng.normal(size=num_draws) - 50.0)
        weights = pareto_smoothed(log_joint - log_q)
        verdict, reasons = judge(weights)
        fields = {
            "model": "linear_regression",
            "num_rows": NUM_ROWS,
            "group": None,
            "draws": {
                "w": rng.normal(size=(num_draws, len(COLUMNS))).astype(np.float32),
                "sigma": rng.uniform(0.5, 1.5, num_draws).astype(np.float32),
            },
            "labels": {"w": tuple(f"w[{name}]" for name in COLUMNS), "sigma": ("sigma",)},
            "dims": {"w": ("features",), "x": ("observations", "features"), "y": ("observations",)},
            "coords": {"features": COLUMNS},
            "log_q": log_q,
            "log_joint": log_joint,
            "weights": weights,
            "verdict": verdict,
            "reasons": reasons,
            "observed": {"y": rng.normal(size=NUM_ROWS)},
            "seconds": 0.04,
            "covariates": {"x": rng.normal(size=(NUM_ROWS, len(COLUMNS)))},
        }
        return Answer(**(fields | changes))

    return make


@pytest.fixture
def answer(make_answer):
    return make_answer()
