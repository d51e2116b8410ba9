"""New rows are coded and scaled by what the first table taught, or refused with the cure."""

import numpy as np
import polars as pl
import pytest

from posterity.model.arguments import Argument
from posterity.runtime.errors import InputError
from posterity.tables import Recipe, TableArgument, read_table

FRAME = pl.DataFrame(
    {
        "age": [20.0, 30.0, 40.0, 55.0, 61.0],
        "region": ["north", "south", "east", "south", "north"],
        "income": [1.5, 2.5, 2.0, 4.0, 3.5],
    }
)
ARGUMENTS = (
    Argument("x", "covariate", (3,), "float32", (None,)),
    Argument("y", "data", (), "float32", ()),
)


def fit(frame=FRAME, *, standardized=True, **how):
    return Recipe.fit(
        frame, ARGUMENTS, target="income", standardized=standardized, categorical=["region"], source="data.csv", **how
    )


@pytest.fixture
def recipe():
    return fit()[0]


def test_arguments_of_a_problem_are_those_that_tables_know():
    assert all(isinstance(argument, TableArgument) for argument in ARGUMENTS)


def test_the_table_itself_comes_back_as_it_was():
    recipe, data = fit()
    new = recipe.new_rows(FRAME)
    np.testing.assert_array_equal(new.values["x"], data.values["x"])
    assert set(new.values) == {"x"} and new.rows.tolist() == [0, 1, 2, 3, 4]
    again = recipe.transform(FRAME)
    for name, array in data.values.items():
        np.testing.assert_array_equal(again.values[name], array)


def test_a_part_of_a_table_is_the_same_rows_of_its_dataset():
    """Neither a constant column nor a single row is an obstacle: what varies was learnt from the whole table."""
    recipe, data = fit()
    part = recipe.transform(FRAME[[1, 3]].reverse())
    for name, array in data.values.items():
        np.testing.assert_array_equal(part.values[name], array[[3, 1]])
    assert recipe.transform(FRAME[:1]).rows.tolist() == [0]


def test_a_later_table_is_read_by_the_types_of_the_first():
    recipe, _ = fit()
    with pytest.raises(InputError, match=r"no column 'income'; expected those of data\.csv"):
        recipe.transform(FRAME.drop("income"))
    holes = FRAME.with_columns(pl.Series("age", [None, 1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(InputError, match="missing values in 1 of 5 rows"):
        recipe.transform(holes)
    data = recipe.transform(holes, drop_missing=True)
    assert data.rows.tolist() == [1, 2, 3, 4] and data.dropped_rows == 1


def test_class_labels_keep_the_codes_of_the_first_table():
    arguments = (ARGUMENTS[0], Argument("y", "data", (), "int32", (), kind="class", num_classes=3))
    frame = pl.DataFrame({"age": [1.0, 2.0, 4.0], "kind": ["00", "05", "85+"]})
    recipe, data = Recipe.fit(frame, arguments, target="kind")
    assert data.values["y"].tolist() == [0, 1, 2] and recipe.text_columns == ("kind",)
    assert recipe.transform(frame[[2, 1]]).values["y"].tolist() == [2, 1]
    with pytest.raises(InputError, match="'kind' has the category '7' in data row 2; table has '00', '05', '85"):
        recipe.transform(pl.DataFrame({"age": [3.0, 3.0], "kind": ["05", "7"]}))


def test_levels_written_with_zeros_stay_apart_from_numbers(tmp_path):
    first, later = tmp_path / "first.csv", tmp_path / "later.csv"
    first.write_text("age,region,income\n1,00,3\n2,05,4\n3,10,6\n5,85+,7\n")
    later.write_text("age, region \n1,05\n2,00\n")
    recipe, _ = fit(read_table(first, text_columns=["region"]), standardized=False)
    assert recipe.names == ("age", "region=05", "region=10", "region=85+")
    values = recipe.new_rows(read_table(later, text_columns=recipe.text_columns)).values
    np.testing.assert_array_equal(values["x"], [[1, 1, 0, 0], [2, 0, 0, 0]])
    with pytest.raises(InputError, match="has the category '5' in data row 1"):
        recipe.new_rows(read_table(later))


def test_text_levels_of_a_csv_that_are_plain_numbers_sort_as_numbers(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("age,region,income\n1,9,3\n2,10,4\n3,8,6\n")
    recipe, _ = fit(read_table(path, text_columns=["region"]), standardized=False)
    assert recipe.names == ("age", "region=9", "region=10")


def test_scales_and_levels_are_those_of_the_table_not_of_the_new_rows(recipe):
    """One row has no standard deviation, and only one of the regions."""
    new = pl.DataFrame({"region": ["south"], "note": ["x"], "age": [100]})
    values = recipe.new_rows(new).values
    ages = FRAME["age"].to_numpy()
    expected = {
        "age": (100 - ages.mean()) / ages.std(),
        "region=north": (0 - 0.4) / np.std([1, 0, 0, 0, 1]),
        "region=south": (1 - 0.4) / np.std([0, 1, 0, 1, 0]),
    }
    np.testing.assert_allclose(values["x"], [[expected[name] for name in recipe.names]])


def test_numbers_as_levels_meet_however_they_are_written():
    frame = FRAME.with_columns(pl.Series("region", [3, 1, 2, 1, 3]))
    recipe, _ = fit(frame, standardized=False)
    for column in (pl.Series([3, 1]), pl.Series([3.0, 1.0]), pl.Series(["3", " 1"])):
        values = recipe.new_rows(pl.DataFrame({"age": [1.0, 2.0], "region": column})).values
        np.testing.assert_array_equal(values["x"], [[1.0, 0.0, 1.0], [2.0, 0.0, 0.0]])


def test_rows_with_missing_cells_are_told_apart(recipe):
    new = pl.DataFrame({"age": [30.0, None, 50.0], "region": ["north", "north", ""]})
    with pytest.raises(InputError, match=r"new rows: missing values in 2 of 3 rows; by column: 'age' \(1\), 'region'"):
        recipe.new_rows(new)
    found = recipe.new_rows(new, drop_missing=True)
    assert found.rows.tolist() == [0] and found.dropped_rows == 2 and found.values["x"].shape == (1, 3)
    with pytest.raises(InputError, match="has 0 rows after dropping 2 rows with missing values"):
        recipe.new_rows(new[1:], drop_missing=True)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"age": [1.0]}, r"new.csv: no column 'region'; expected those of data.csv: 'age', 'region'. It has 'age'."),
        ({"Age": [1.0], "region": ["north"]}, "no column 'age'.*Did you mean 'Age'"),
        (
            {"age": [1.0, 2.0, 3.0], "region": ["north", "west", "up"]},
            r"'region' has the category 'west' in data row 2 \(2 rows with new ones in all\); data.csv has 'east', 'no",
        ),
        ({"age": ["old"], "region": ["north"]}, "column 'age' is not numeric, for example 'old'"),
        ({"age": [np.inf], "region": ["north"]}, "'age' holds 1 value infinite"),
        (
            {"age": pl.Series([], dtype=pl.Float64), "region": pl.Series([], dtype=pl.String)},
            "has 0 rows; expected at least 1",
        ),
    ],
)
def test_new_rows_that_cannot_serve_are_refused(recipe, new, message):
    with pytest.raises(InputError, match=message):
        recipe.new_rows(pl.DataFrame(new), source="new.csv")
