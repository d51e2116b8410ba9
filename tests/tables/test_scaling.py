"""Z-scores, and the same regression draws in the user's units: predictions must not notice the difference."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from posterity.runtime.errors import InputError
from posterity.tables import NumericTable, Scaling, regression_original_units, standardize

NAMES = ("a", "b", "c")


@pytest.fixture
def table() -> NumericTable:
    generator = np.random.default_rng(0)
    values = generator.normal([5.0, -100.0, 1e6], [0.1, 20.0, 3e4], (50, 3))
    return NumericTable(NAMES, values, "y", generator.normal(40.0, 7.0, 50), (), 2)


def test_z_scores(table):
    scaled, scaling = standardize(table, scale_target=True)
    assert_allclose(scaled.values.mean(axis=0), 0, atol=1e-12)
    assert_allclose((scaled.values**2).mean(axis=0), 1, rtol=1e-12)  # ddof 0
    assert scaled.target is not None
    assert table.target is not None
    assert_allclose([scaled.target.mean(), (scaled.target**2).mean()], [0, 1], atol=1e-12)
    assert_allclose(scaled.values * scaling.sds + scaling.means, table.values, rtol=1e-12)
    assert_allclose(scaled.target * scaling.target_sd + scaling.target_mean, table.target, rtol=1e-12)
    assert (scaled.names, scaled.target_name, scaled.dropped_rows) == (NAMES, "y", 2)


def test_target_stays_when_not_asked(table):
    scaled, scaling = standardize(table, scale_target=False)
    assert_array_equal(scaled.target, table.target)
    assert (scaling.target_mean, scaling.target_sd) == (0.0, 1.0)


@pytest.mark.parametrize("target", [None, np.arange(50), np.ones(50)], ids=["none", "codes", "constant"])
def test_targets_without_z_scores(table, target):
    with pytest.raises(InputError, match="target: only a real-valued target that varies has z-scores"):
        standardize(replace(table, target=target), scale_target=True)


def test_constant_column_has_no_z_scores(table):
    table.values[:, 1] = 3.0
    with pytest.raises(InputError, match="constant column 'b': no z-scores"):
        standardize(table, scale_target=False)


def test_json_round_trip(table):
    _, scaling = standardize(table, scale_target=True)
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert again.to_json() == scaling.to_json()
    assert again.names == NAMES
    assert_array_equal(again.means, scaling.means)
    assert_array_equal(again.sds, scaling.sds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "scaling: keys 'colour', 'means'.*expected 'names'"),
        ({"means": [0.0]}, r"scaling: 3 names, means of shape \(1,\)"),
    ],
)
def test_foreign_json(table, change, message):
    _, scaling = standardize(table, scale_target=True)
    with pytest.raises(InputError, match=message):
        Scaling.from_json(scaling.to_json() | change)


def predictions(values, draws):
    """Linear predictor of each draw and row, `(draw, row)` or `(draw, row, class)`."""
    return np.einsum("rj,dj...->dr...", values, draws["w"]) + draws["b"][:, None]


@pytest.mark.parametrize("scale_target", [True, False])
def test_predictions_agree_in_both_units(table, scale_target):
    scaled, scaling = standardize(table, scale_target=scale_target)
    generator = np.random.default_rng(1)
    draws = {"w": generator.normal(size=(20, 3)), "b": generator.normal(size=20), "sigma": np.full(20, 0.5)}
    original = regression_original_units(scaling, draws)
    mean = scaling.target_mean + scaling.target_sd * predictions(scaled.values, draws)
    assert_allclose(predictions(table.values, original), mean, rtol=1e-9)
    # A residual is the same number of standard deviations in both.
    assert_allclose(
        (table.target - predictions(table.values, original)) / original["sigma"][:, None],
        (scaled.target - predictions(scaled.values, draws)) / draws["sigma"][:, None],
        rtol=1e-9,
        atol=1e-9,
    )


def test_predictions_agree_for_several_classes(table):
    scaled, scaling = standardize(table, scale_target=False)
    generator = np.random.default_rng(2)
    draws = {"w": generator.normal(size=(20, 3, 4)), "b": generator.normal(size=(20, 4))}
    original = regression_original_units(scaling, draws)
    assert {site: values.shape for site, values in original.items()} == {"w": (20, 3, 4), "b": (20, 4)}
    logits = predictions(scaled.values, draws)
    assert_allclose(predictions(table.values, original), logits, rtol=1e-9, atol=1e-9)


def test_float32_draws_become_float64(table):
    _, scaling = standardize(table, scale_target=True)
    draws = {"w": np.ones((5, 3), np.float32), "b": np.ones(5, np.float32)}
    original = regression_original_units(scaling, draws)
    assert set(original) == {"w", "b"}
    assert all(values.dtype == np.float64 for values in original.values())


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        ({"w": (5, 3), "b": (5,), "tau": (5,)}, "latents 'b', 'tau', 'w'; expected 'w', 'b'"),
        ({"w": (5, 3)}, "latents 'w'; expected 'w', 'b'"),
        ({"w": (5, 2), "b": (5,)}, r"shapes 'w' \(5, 2\), expected \(5, 3\)"),
        ({"w": (5, 3, 4), "b": (5,)}, r"shapes 'w' \(5, 3, 4\), expected \(5, 3\)"),
        ({"w": (5, 3, 4), "b": (5, 4, 1)}, r"'b' \(5, 4, 1\), expected \(5, 4\)"),
        ({"w": (5, 3), "b": (5,), "sigma": (5, 1)}, r"'sigma' \(5, 1\), expected \(5,\)"),
    ],
)
def test_draws_that_do_not_fit(table, draws, message):
    _, scaling = standardize(table, scale_target=True)
    with pytest.raises(InputError, match=f"original units: .*{message}"):
        regression_original_units(scaling, {site: np.ones(shape) for site, shape in draws.items()})
