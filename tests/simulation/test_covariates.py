"""How covariates are drawn while training: laws that look like tables, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from posterity.model.arguments import Argument
from posterity.runtime.errors import InputError
from posterity.simulation.covariates import COVARIATE_LAWS, ResampledRows, StandardNormal, TableLike
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import build_simulator

X = Argument("x", "covariate", (6,), "float32", ("features",))
AGE = Argument("age", "covariate", (), "float32", ())
GROUP = Argument("group", "covariate", (), "int32", ())
NUM_ROWS, NUM_DATASETS = 100, 300
ROW_MASK = jnp.arange(NUM_ROWS) < 80


def draw(law, rng_key, arguments, row_mask):
    """One draw, compiled: call by call it would take a second."""
    return jax.jit(lambda key: law.draw(key, arguments, row_mask, {}))(rng_key)


@pytest.fixture(scope="module")
def tables():
    """Many draws of a matrix and a vector of covariates, `(dataset, row, column)`, the vector last; real rows only."""
    draw_all = jax.jit(jax.vmap(lambda key: TableLike().draw(key, (X, AGE), ROW_MASK, {})))
    drawn = draw_all(random.split(random.key(0), NUM_DATASETS))
    return np.concatenate([drawn["x"], drawn["age"][..., None]], axis=-1).astype(np.float64)[:, :80]


def test_table_like_columns_are_z_scored_over_the_real_rows(tables):
    assert_allclose(tables.mean(axis=1), 0.0, atol=1e-5)
    assert_allclose(tables.std(axis=1), 1.0, atol=1e-4)


def test_table_like_columns_come_in_all_kinds(tables):
    """Each kind with its share: binary 20%, heavy-tailed 15%, skewed 10% of 2100 columns, within 5 standard errors."""
    columns = tables.transpose(0, 2, 1).reshape(-1, 80)
    binary = np.array([len(np.unique(np.round(c, 4))) == 2 for c in columns])
    assert abs(binary.mean() - 0.2) < 5 * np.sqrt(0.16 / len(columns))
    rest = columns[~binary]
    # An 80-row normal column has |skewness| > 1.3 in 1 of 10^6 and kurtosis above 7 hardly ever; exp and sinh often do.
    skewed = np.abs(stats.skew(rest, axis=1)) > 1.3
    heavy = stats.kurtosis(rest, axis=1) > 4.0
    assert 0.05 < skewed.mean() < 0.4 and 0.05 < heavy.mean() < 0.4
    normal = stats.kstest(rest[~skewed & ~heavy].ravel(), "norm").statistic
    assert normal < 0.03


def test_table_like_columns_correlate_from_hardly_to_nearly_collinear(tables):
    """Within a matrix, and between arguments as well."""
    correlations = np.array([np.corrcoef(t.T) for t in tables])
    within = np.abs(correlations[:, *np.triu_indices(6, 1)])
    across = np.abs(correlations[:, :6, 6])
    for pairs in (within, across):
        assert np.median(pairs) < 0.3 and np.max(pairs) > 0.9
        assert 0.05 < np.mean(pairs > 0.5) < 0.25  # 4 standard errors of independent columns
    assert 0.1 < np.mean(within.max(axis=1) < 0.35) < 0.5  # tables without any correlation are there as well


def test_standard_normal_is_standard_normal():
    drawn = draw(StandardNormal(), random.key(1), (X, AGE), jnp.ones(2000, bool))
    for values in drawn.values():
        assert stats.kstest(np.ravel(values), "norm").pvalue > 1e-6
    assert abs(np.corrcoef(drawn["x"][:, 0], drawn["age"])[0, 1]) < 5 / np.sqrt(2000)


def test_resampled_rows_stay_rows():
    """All arguments of a row come from the same row of the table, each row equally often."""
    rows = {"x": jnp.arange(5.0)[:, None] * jnp.ones(6), "group": jnp.arange(5)}
    drawn = draw(ResampledRows(rows), random.key(2), (X, GROUP), jnp.ones(5000, bool))
    assert_array_equal(drawn["x"], np.asarray(drawn["group"])[:, None] * np.ones(6))
    assert stats.chisquare(np.bincount(drawn["group"])).pvalue > 1e-6


@pytest.mark.parametrize("law", ["normal", "table"])
def test_no_covariates_at_all(law):
    assert COVARIATE_LAWS[law]().draw(random.key(0), (), ROW_MASK, {}) == {}
    assert ResampledRows({}).draw(random.key(0), (), ROW_MASK, {}) == {}


def test_one_row_is_finite():
    drawn = draw(TableLike(), random.key(0), (X,), jnp.arange(4) < 1)
    assert np.all(np.isfinite(drawn["x"]))
    assert_array_equal(drawn["x"][0], 0.0)


# ---------------------------------------------------------------------------------------- in simulators


def regression(x, group, y):
    with numpyro.plate("features", x.shape[1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    with numpyro.plate("groups", 3):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x @ w + a[group], 1.0), obs=y)


EXAMPLE = {
    "x": np.arange(12.0).reshape(4, 3),
    "group": np.array([0, 1, 2, 1]),
    "y": np.zeros(4),
}


def build(envelope=None, covariates="resampled", example=EXAMPLE):
    return build_simulator(regression, example, envelope, covariates=covariates, check=False)


def test_simulator_masks_what_a_law_draws():
    simulator = build(Envelope((2, 8), {"features": (1, 3)}))
    masks = simulator.model.plate_masks({"features": 2})
    drawn = jax.jit(lambda key: simulator.draw_covariates(key, jnp.arange(8) < 5, masks))(random.key(0))
    assert_array_equal(drawn["x"][5:], 0.0)
    assert_array_equal(drawn["group"][5:], 0)
    assert_array_equal(drawn["x"][:, 2], 0.0)
    assert set(np.asarray(drawn["x"][:5, 0]).tolist()) <= {0.0, 3.0, 6.0, 9.0}


class Ones:
    """A law of the user's own."""

    name = "ones"

    def draw(self, rng_key, arguments, row_mask, plate_masks):
        return {a.name: jnp.ones((row_mask.shape[0], *a.shape), a.dtype) for a in arguments}

    def check(self, arguments):
        pass


def test_a_law_of_ones_own():
    drawn = build(covariates=Ones()).draw_covariates(random.key(0), jnp.arange(4) < 3, {})
    assert_array_equal(drawn["x"], [[1.0] * 3] * 3 + [[0.0] * 3])


REFUSED = {
    "unknown": ("tabel", None, EXAMPLE, "unknown covariate law 'tabel'.*Did you mean 'table'"),
    "whole numbers": (
        "table",
        None,
        EXAMPLE,
        "covariate 'group' holds int32, which the 'table' law cannot draw",
    ),
    "whole numbers, normal": (
        "normal",
        None,
        EXAMPLE,
        "covariate 'group' holds int32, which the 'normal' law",
    ),
    "too narrow": (
        "resampled",
        Envelope((2, 8), {"features": (1, 5)}),
        EXAMPLE,
        r"'x' has shape \(3,\) per row.*reaches \(5,\)",
    ),
    "too wide": (
        "resampled",
        Envelope((2, 8), {"features": (1, 2)}),
        EXAMPLE,
        r"'x' has shape \(3,\) per row.*reaches \(2,\)",
    ),
    "no rows": (ResampledRows({"x": jnp.zeros((2, 3))}), None, EXAMPLE, "has no rows for covariate 'group'"),
}


@pytest.mark.parametrize(("law", "envelope", "example", "pattern"), REFUSED.values(), ids=REFUSED)
def test_laws_refuse_what_they_cannot_draw(law, envelope, example, pattern):
    with pytest.raises(InputError, match=pattern):
        build(envelope, law, example)
