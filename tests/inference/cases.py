"""One tiny model, answered without training: conjugate linear regression with noise of sd 0.5, at most 2 columns."""

import numpy as np
from numpy.testing import assert_array_equal

__all__ = ["MODEL", "SETTINGS", "regression", "same_bits"]

MODEL = "linear_regression_known_noise"
SETTINGS = {"num_draws": 30, "refine_seconds": 0.0}


def regression(num_rows, seed, num_columns=2):
    """A dataset with slope 1 along the first column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_rows, num_columns)).astype(np.float32)
    return {"x": x, "y": (x[:, 0] + 0.5 * rng.normal(size=num_rows)).astype(np.float32)}


def same_bits(first, second):
    """Whether two posteriors agree in everything that draws decide."""
    assert (first.name, first.num_rows, first.verdict) == (second.name, second.num_rows, second.verdict)
    assert first.reasons == second.reasons
    for site, draws in first.proposed.items():
        assert_array_equal(draws, second.proposed[site])
        assert_array_equal(first[site], second[site])
    assert_array_equal(first.log_q, second.log_q)
    assert_array_equal(first.log_joint, second.log_joint)
    if first.weights is not None:
        assert_array_equal(first.weights.log_weights, second.weights.log_weights)
        assert first.pareto_k == second.pareto_k or np.isnan(first.pareto_k)
        assert first.ess == second.ess
    return True
