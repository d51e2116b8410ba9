"""New rows are coded and scaled by what the first table taught, or refused with the cure."""

import numpy as np
import polars as pl
import pytest

from posterity.model.arguments import Argument
from posterity.runtime.errors import InputError
from posterity.tables.dataset import dataset_of_table

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


@pytest.fixture
def data():
    return dataset_of_table(
        ARGUMENTS, FRAME, target="income", standardized=True, categorical=["region"], source="data.csv"
    )


def test_the_table_itself_comes_back_as_it_was(data):
    values, complete = data.preparation.new_rows(FRAME)
    np.testing.assert_array_equal(values["x"], data.values["x"])
    assert set(values) == {"x"} and complete.all()


def test_scales_and_levels_are_those_of_the_table_not_of_the_new_rows(data):
    """One row has no standard deviation, and only one of the regions."""
    new = pl.DataFrame({"region": ["south"], "note": ["x"], "age": [100]})
    values, _ = data.preparation.new_rows(new)
    ages = FRAME["age"].to_numpy()
    expected = {
        "age": (100 - ages.mean()) / ages.std(),
        "region=north": (0 - 0.4) / np.std([1, 0, 0, 0, 1]),
        "region=south": (1 - 0.4) / np.std([0, 1, 0, 1, 0]),
    }
    np.testing.assert_allclose(values["x"], [[expected[name] for name in data.preparation.names]])


def test_numbers_as_levels_meet_however_they_are_written():
    frame = FRAME.with_columns(pl.Series("region", [3, 1, 2, 1, 3]))
    data = dataset_of_table(ARGUMENTS, frame, target="income", standardized=False, categorical=["region"])
    for column in (pl.Series([3, 1]), pl.Series([3.0, 1.0]), pl.Series(["3", " 1"])):
        values, _ = data.preparation.new_rows(pl.DataFrame({"age": [1.0, 2.0], "region": column}))
        np.testing.assert_array_equal(values["x"], [[1.0, 0.0, 1.0], [2.0, 0.0, 0.0]])


def test_rows_with_missing_cells_are_told_apart(data):
    new = pl.DataFrame({"age": [30.0, None, 50.0], "region": ["north", "north", ""]})
    with pytest.raises(InputError, match=r"new rows: missing values in 2 of 3 rows; by column: 'age' \(1\), 'region'"):
        data.preparation.new_rows(new)
    values, complete = data.preparation.new_rows(new, drop_missing=True)
    assert complete.tolist() == [True, False, False] and values["x"].shape == (1, 3)
    with pytest.raises(InputError, match="no complete rows"):
        data.preparation.new_rows(new[1:], drop_missing=True)


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
        ({"age": pl.Series([], dtype=pl.Float64), "region": pl.Series([], dtype=pl.String)}, "has no rows"),
    ],
)
def test_new_rows_that_cannot_serve_are_refused(data, new, message):
    with pytest.raises(InputError, match=message):
        data.preparation.new_rows(pl.DataFrame(new), source="new.csv")
