"""Yesterday's posterior with today's rows is the posterior of all rows."""

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import posterity
from posterity.runtime.errors import InputError

SETTINGS = {"num_draws": 200, "refine_seconds": 0.0}
RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 2))
DATA = {"x": X, "y": X @ [1.0, -0.5] + 0.5 * RNG.normal(size=60)}
TABLE = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "g": [f"g{i % 4}" for i in range(60)], "y": DATA["y"]})


def part(rows):
    return {name: values[rows] for name, values in DATA.items()}


def test_arrays_in_two_parts_are_the_whole_to_the_bit():
    estimator = posterity.informed("linear_regression", like=DATA)
    whole = estimator.infer(DATA, **SETTINGS)
    updated = estimator.infer(part(slice(0, 37)), **SETTINGS).update(part(slice(37, 60)))
    assert updated.num_rows == 60 and updated.verdict == "corrected"
    for site, draws in whole.proposed.items():
        assert_array_equal(updated.proposed[site], draws)
    again = estimator.infer(part(slice(0, 20)), **SETTINGS).update(part(slice(20, 37))).update(part(slice(37, 60)))
    assert_array_equal(again.proposed["w"], updated.proposed["w"])


def test_a_table_keeps_the_scales_of_the_first():
    """The updated posterior is that of all rows, under the prior on the first table's z-scores."""
    first = posterity.infer("linear_regression", TABLE.drop("g").head(40), target="y", **SETTINGS)
    updated = first.update(TABLE.drop("g").tail(20))
    assert updated.num_rows == 60 and updated.recipe is first.recipe
    scaling = first.recipe.scaling
    rows = (X - scaling.means) / scaling.sds, (DATA["y"] - scaling.target_mean) / scaling.target_sd
    direct = posterity.infer("linear_regression", {"x": rows[0], "y": rows[1]}, **SETTINGS)
    assert_allclose(updated.log_evidence.value, direct.log_evidence.value, atol=0.05)
    assert_allclose(updated["w"].mean(axis=0), direct["w"].mean(axis=0), atol=0.02)


def test_a_formula_with_groups_in_any_order_and_missing_responses():
    first = posterity.infer("y ~ a + (1 | g)", TABLE.head(40), **SETTINGS)
    later = TABLE.tail(20).reverse().with_columns(y=pl.when(pl.col("a") > 1.2).then(None).otherwise(pl.col("y")))
    missing = later["y"].null_count()
    assert missing > 0
    with pytest.raises(InputError, match=f"'y' is missing in {missing} rows"):
        first.update(later)
    updated = first.update(later, drop_missing=True)
    assert updated.num_rows == 60 - missing and updated.dropped_rows == missing
    expected = [int(name[1]) for name in later.drop_nulls()["g"]]
    assert updated.data["g"][40:].tolist() == expected
    assert len(updated.summary()) == len(first.summary())


def test_what_cannot_be_added_is_refused():
    estimator = posterity.informed("linear_regression", like=DATA)
    posterior = estimator.infer(DATA, **SETTINGS)
    with pytest.raises(InputError, match=r"'x' of the new rows has shape \(3, 1\)"):
        posterior.update({"x": X[:3, :1], "y": DATA["y"][:3]})
    with pytest.raises(InputError, match="give the new rows as a dict"):
        posterior.update(TABLE)
    first = posterity.infer("y ~ a + (1 | g)", TABLE.head(40), **SETTINGS)
    with pytest.raises(InputError, match="group 'g' has the new level 'g9'"):
        first.update(TABLE.tail(3).with_columns(g=pl.lit("g9")))
