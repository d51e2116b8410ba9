"""Z-scores, and the same regression draws in the user's units: predictions must not notice the difference."""

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tables.cases import regression

from posterity.runtime.errors import InputError
from posterity.tables import Scaling, location_and_scale, regression_original_units, split_groups

NAMES = ("a", "b", "c")


@pytest.fixture
def frame() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    values = generator.normal([5.0, -100.0, 1e6], [0.1, 20.0, 3e4], (50, 3))
    return pl.DataFrame({**dict(zip(NAMES, values.T, strict=True)), "y": generator.normal(40.0, 7.0, 50)})


def test_z_scores(frame):
    recipe, data = regression(frame, standardized=True)
    scaling, x, y = recipe.scaling, data.values["x"], data.values["y"]
    assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    assert_allclose((x**2).mean(axis=0), 1, rtol=1e-12)  # ddof 0
    assert_allclose([y.mean(), (y**2).mean()], [0, 1], atol=1e-12)
    assert_allclose(x * scaling.sds + scaling.means, frame.select(NAMES).to_numpy(), rtol=1e-12)
    assert_allclose(y * scaling.target_sd + scaling.target_mean, frame["y"].to_numpy(), rtol=1e-12)
    assert scaling.names == NAMES


def test_counts_and_codes_have_no_z_scores(frame):
    counts = frame.with_columns(pl.Series("y", range(50)))
    recipe, data = regression(counts, "count", standardized=True)
    assert_array_equal(data.values["y"], range(50))
    assert (recipe.scaling.target_mean, recipe.scaling.target_sd) == (0.0, 1.0)
    assert recipe.scale_reasons({"x": data.values["x"], "y": data.values["y"] + 1000}) == ()


def test_scales_are_plain_mean_and_sd_to_the_bit_where_nothing_lies_far_out():
    values = np.random.default_rng(0).standard_t(3, (200, 4)) * [1e-9, 1.0, 1e3, 1e12]
    mean, sd = location_and_scale(values)
    assert_array_equal(mean, values.mean(axis=0))
    assert_array_equal(sd, values.std(axis=0))
    rare = np.where(np.arange(100) == 7, 1.0, 0.0)  # the quartiles are equal: nothing is clipped
    assert location_and_scale(rare) == (rare.mean(), rare.std())


def test_one_wrong_cell_hardly_moves_the_scale():
    values = np.random.default_rng(0).normal(size=48)
    mean, sd = location_and_scale(values)
    for wrong in (1e3, 1e6, -1e12):
        moved_mean, moved_sd = location_and_scale(np.where(np.arange(48) == 0, wrong, values))
        assert abs(moved_mean - mean) < 0.5 * sd and sd < moved_sd < 3.0 * sd


def test_a_whole_group_of_wrong_cells_hardly_moves_the_scale():
    """The wrong group holds 60% of the rows: only where groups count alike do the quartiles withstand it."""
    values, group = np.random.default_rng(0).normal(size=100), np.repeat(np.arange(5), (60, 10, 10, 10, 10))
    wrong = np.where(group == 0, 1e6 * (1.0 + np.abs(values)), values)
    weights = 1.0 / np.bincount(group)[group]
    low, high = np.quantile(values, [0.0, 1.0])
    mean, sd = location_and_scale(wrong, weights)
    assert abs(mean) < 15.0 * (high - low) and sd < 15.0 * (high - low)
    assert location_and_scale(wrong)[1] > 1e5


def grouped(cell):
    """Four groups of twelve rows, y = 2a + noise, and one cell of the first group."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=48)
    y = 2.0 * a + 0.1 * rng.normal(size=48)
    a[0] = cell
    return pl.DataFrame({"a": a, "g": np.repeat(list("pqrs"), 12), "y": y})


def test_a_wrong_cell_leaves_the_other_groups_alone_and_is_told():
    right, wrong = grouped(0.3), grouped(1e6)
    groups = split_groups(wrong, "g")
    recipe, data = regression(wrong.drop("g"), standardized=True, groups=groups)
    usual, _ = regression(right.drop("g"), standardized=True, groups=groups)
    assert 0.3 < usual.scaling.sds[0] / recipe.scaling.sds[0] <= 1.0
    for name in "qrs":
        own = {argument: array[groups[name]] for argument, array in data.values.items()}
        assert recipe.scale_reasons(own) == ()
        alone = recipe.transform(wrong.filter(pl.col("g") == name))
        for argument, array in own.items():
            assert_array_equal(alone.values[argument], array)
    (reason,) = recipe.scale_reasons({argument: array[groups["p"]] for argument, array in data.values.items()})
    assert reason.startswith("column 'a' has mean 8.333e+04 and sd 2.764e+05 in these rows, far from mean ")


@pytest.mark.parametrize(
    ("factor", "shift", "told"), [(1.0, 0.0, 0), (25.0, 0.0, 1), (1e-4, 0.0, 1), (1.0, 30.0, 1), (0.0, 0.5, 0)]
)
def test_scales_far_from_those_of_the_table_are_told(frame, factor, shift, told):
    recipe, data = regression(frame, standardized=True)
    x, y = data.values["x"].copy(), data.values["y"]
    x[:, 1] = shift + factor * x[:, 1]
    assert len(recipe.scale_reasons({"x": x, "y": y})) == told
    assert len(recipe.scale_reasons({"x": data.values["x"], "y": shift + factor * y})) == told


def predictions(values, draws):
    """Linear predictor of each draw and row, `(draw, row)` or `(draw, row, class)`."""
    return np.einsum("rj,dj...->dr...", values, draws["w"]) + draws["b"][:, None]


@pytest.mark.parametrize("kind", ["real", "count"])
def test_predictions_agree_in_both_units(frame, kind):
    frame = frame if kind == "real" else frame.with_columns(pl.Series("y", range(50)))
    recipe, data = regression(frame, kind, standardized=True)
    generator = np.random.default_rng(1)
    draws = {"w": generator.normal(size=(20, 3)), "b": generator.normal(size=20), "sigma": np.full(20, 0.5)}
    original = recipe.to_table_units(draws)
    own, scaled = frame.select(NAMES).to_numpy(), data.values["x"]
    mean = recipe.predictions_to_table(predictions(scaled, draws).T, recipe.new_rows(frame)).T
    assert_allclose(predictions(own, original), mean, rtol=1e-9)
    # A residual is the same number of standard deviations in both.
    assert_allclose(
        (frame["y"].to_numpy() - predictions(own, original)) / original["sigma"][:, None],
        (data.values["y"] - predictions(scaled, draws)) / draws["sigma"][:, None],
        rtol=1e-9,
        atol=1e-9,
    )


def test_predictions_agree_for_several_classes(frame):
    classes = frame.with_columns(pl.Series("y", list("uvwuv") * 10))
    recipe, data = regression(classes, "class", standardized=True)
    generator = np.random.default_rng(2)
    draws = {"w": generator.normal(size=(20, 3, 4)), "b": generator.normal(size=(20, 4))}
    original = recipe.to_table_units(draws)
    assert {site: values.shape for site, values in original.items()} == {"w": (20, 3, 4), "b": (20, 4)}
    logits = predictions(data.values["x"], draws)
    assert_allclose(predictions(frame.select(NAMES).to_numpy(), original), logits, rtol=1e-9, atol=1e-9)


def test_draws_of_columns_as_they_are_are_in_table_units_already(frame):
    assert regression(frame)[0].to_table_units({"w": np.ones((5, 3)), "b": np.ones(5)}) is None


SCALING = Scaling(NAMES, np.zeros(3), np.ones(3))


def test_float32_draws_become_float64():
    draws = {"w": np.ones((5, 3), np.float32), "b": np.ones(5, np.float32)}
    original = regression_original_units(SCALING, draws)
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
def test_draws_that_do_not_fit(draws, message):
    with pytest.raises(InputError, match=f"original units: .*{message}"):
        regression_original_units(SCALING, {site: np.ones(shape) for site, shape in draws.items()})
