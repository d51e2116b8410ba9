"""Which columns feed which arguments."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from tables.cases import MATRIX, TARGET, Takes

from posterity.runtime.errors import InputError
from posterity.tables import Recipe

FRAME = pl.DataFrame(
    {
        "b": [1.0, 2.0, 4.0],
        "sales": [10, 30, 20],
        "a": [7.0, 9.0, 8.0],
        "group": [0, 1, 1],
        "y": [5.0, 6.0, 8.0],
    }
)


def assigned(arguments, frame=FRAME, target=None, categorical=()):
    recipe, data = Recipe.fit(frame, arguments, target=target, categorical=categorical)
    return recipe, data.values, recipe.columns_of


def test_the_matrix_takes_all_columns_but_the_target_in_their_order():
    recipe, values, columns = assigned([MATRIX, TARGET], target="sales")
    assert columns == {"x": ("b", "a", "group", "y")}
    np.testing.assert_array_equal(values["x"], FRAME.select("b", "a", "group", "y").to_numpy())
    np.testing.assert_array_equal(values["y"], [10.0, 30.0, 20.0])
    assert (recipe.target, recipe.target_argument, recipe.unused) == ("sales", "y", ())


def test_without_a_target_the_observed_vector_takes_the_column_of_its_name():
    recipe, values, columns = assigned([MATRIX, TARGET])
    assert recipe.target == "y" and columns == {"x": ("b", "sales", "a", "group")}
    np.testing.assert_array_equal(values["y"], [5.0, 6.0, 8.0])


def test_vectors_take_the_column_of_their_own_name_and_leave_the_rest():
    recipe, values, columns = assigned([Takes("a"), Takes("group"), TARGET], target="sales")
    assert columns == {} and recipe.unused == ("b", "y")
    np.testing.assert_array_equal(values["a"], [7.0, 9.0, 8.0])
    np.testing.assert_array_equal(values["group"], [0.0, 1.0, 1.0])


def test_columns_that_nothing_takes_may_hold_anything():
    frame = FRAME.with_columns(pl.Series("remark", ["fine", None, "?"]))
    recipe, values, _ = assigned([Takes("a"), TARGET], frame)
    assert "remark" in recipe.unused and set(values) == {"a", "y"}


def test_a_named_vector_beside_a_matrix_is_no_column_of_the_matrix():
    _, values, columns = assigned([Takes("group"), MATRIX, TARGET], target="y")
    assert columns == {"x": ("b", "sales", "a")}
    np.testing.assert_array_equal(values["group"], [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(values["x"], FRAME.select("b", "sales", "a").to_numpy())


def test_a_matrix_of_data_takes_every_column_and_no_target():
    matrix = dataclasses.replace(MATRIX, role="data")
    recipe, values, columns = assigned([matrix])
    assert recipe.target is None and columns == {"x": tuple(FRAME.columns)}
    np.testing.assert_array_equal(values["x"], FRAME.to_numpy())
    with pytest.raises(InputError, match="this model has no target"):
        assigned([matrix], target="y")


def test_a_column_named_like_the_matrix_is_a_column_of_it():
    _, _, columns = assigned([MATRIX, TARGET], FRAME.rename({"b": "x"}), target="y")
    assert columns["x"][0] == "x"


def test_several_observed_vectors_go_by_name_and_one_by_the_target():
    arguments = [MATRIX, TARGET, Takes("z", "data")]
    recipe, values, columns = assigned(arguments, target="sales")
    assert recipe.target_argument == "z" and columns == {"x": ("b", "a", "group")}
    np.testing.assert_array_equal(values["z"], [10.0, 30.0, 20.0])
    np.testing.assert_array_equal(values["y"], [5.0, 6.0, 8.0])
    with pytest.raises(InputError, match="observes 'z', and no column is called that"):
        assigned(arguments)
    with pytest.raises(InputError, match="can name the column of one"):
        assigned([Takes("u", "data"), Takes("v", "data")], target="y")


def test_a_model_of_one_vector_needs_no_covariates():
    recipe, values, _ = assigned([TARGET])
    assert recipe.covariates == () and set(values) == {"y"}
    np.testing.assert_array_equal(values["y"], [5.0, 6.0, 8.0])


def test_labels_become_codes_and_categories_columns_of_the_matrix():
    frame = FRAME.with_columns(pl.Series("place", ["n", "s", "n"]), pl.Series("y", ["no", "yes", "no"]))
    target = Takes("y", "data", kind="class", num_classes=3)
    recipe, values, columns = assigned([MATRIX, target], frame, categorical=["place"])
    assert recipe.classes == ("no", "yes") and recipe.class_labels(3) == ("no", "yes", "class 2")
    assert columns["x"][-1] == "place=s"
    np.testing.assert_array_equal(values["y"], [0, 1, 0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([MATRIX, TARGET], {"target": "sale"}, "no such column.*Did you mean 'sales'"),
        ([MATRIX, Takes("z", "data")], {}, "observes 'z'.*--target"),
        ([Takes("height"), TARGET], {}, "no column for the model's argument 'height'"),
        ([Takes("a"), Takes("z", "data")], {"target": "a"}, "belongs to the model's argument of that name"),
        ([Takes("group"), MATRIX, TARGET], {"categorical": ["group"]}, "would become several columns"),
        ([MATRIX, Takes("v", shape=(2,)), TARGET], {}, "takes 2 matrices"),
        ([Takes("images", shape=(8, 8)), TARGET], {}, "has 3 axes"),
    ],
)
def test_what_a_table_cannot_say_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        assigned(arguments, **options)
