"""Statistics of many scalars at once are those of each by itself."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from posterity.trust.moments import in_other_units, moments_and_quantiles, moments_and_quantiles_of_many

LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)


@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (1e6, 1e-3), (-3.0, 1e4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_are_as_one(loc, scale, dtype):
    """Rounding of 64 bits, at most 1e-9 of the sd and of the size; one scalar does not vary."""
    rng = np.random.default_rng(0)
    values = (loc + scale * rng.standard_t(3, size=(4, 3, 200))).astype(dtype)
    values[1, 2] = loc
    weights = rng.random((4, 200)) ** 3
    weights /= weights.sum(axis=1, keepdims=True)
    found = moments_and_quantiles_of_many(values, weights, LEVELS)
    for i in range(4):
        for j in range(3):
            mean, sd, quantiles = moments_and_quantiles(values[i, j].astype(float), weights[i], LEVELS)
            size = 1e-9 * (sd + abs(loc))
            assert_allclose(found[i, j], [mean, sd, *quantiles], rtol=0, atol=size)


def test_other_units_are_those_of_the_other_draws():
    """A factor and a shift, another for each dataset; a scalar that mixes others; one that turns around."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(11, 4, 150)).astype(np.float32)
    weights = rng.random((11, 150))
    weights /= weights.sum(axis=1, keepdims=True)
    others = 1e3 + values.astype(float) * rng.gamma(2.0, size=(11, 4, 1))
    others[:, 2] += others[:, 1]
    others[:, 3] *= -1.0
    found = in_other_units(moments_and_quantiles_of_many(values, weights, LEVELS), values, others, weights, LEVELS)
    assert_allclose(found, moments_and_quantiles_of_many(others, weights, LEVELS), rtol=1e-9)
