"""Covariates: what becomes a number, what is refused, and that the message says where and how to mend it."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from tables.cases import ROWS, regression

from posterity.runtime.errors import InputError
from posterity.tables import Recipe, read_table

Y = [1.0, 2.0, 4.0, 8.0]


def table(columns, **options):
    """Recipe and dataset of `columns` beside the real target `y`, unless the columns bring their own."""
    with_target = options.get("target", "y") == "y"
    return regression(pl.DataFrame({"y": Y} | columns if with_target else columns), **options)


def matrix(columns, **options):
    return table(columns, **options)[1].values["x"]


def test_columns_keep_their_order_and_values():
    recipe, data = table({"b": [3, 1, 2, 5], "y": Y, "a": [0.5, -1.5, 1e6, 0.0]})
    assert recipe.columns_of == {"x": ("b", "a")}
    assert_array_equal(data.values["x"], [[3, 0.5], [1, -1.5], [2, 1e6], [5, 0]])
    assert data.values["x"].dtype == np.float64
    assert_array_equal(data.values["y"], Y)
    assert (recipe.target, recipe.classes, data.dropped_rows) == ("y", (), 0)


def test_without_target_every_column_is_a_covariate():
    recipe, data = Recipe.fit(pl.DataFrame({"a": [1, 2], "b": [2, 1]}), [ROWS])
    assert recipe.columns_of == {"x": ("a", "b")} and recipe.target is None
    assert set(data.values) == {"x"}


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([True, False, False, True]),
        pl.Series([1, 0, 0, 1], dtype=pl.UInt8),
        pl.Series([1, 0, 0, 1], dtype=pl.Float32),
        pl.Series([1, 0, 0, 1], dtype=pl.Decimal(10, 2)),
        pl.Series(["1", " 0", "0.0 ", "1e0"]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_dtypes_that_are_numbers(column):
    assert_array_equal(matrix({"a": column})[:, 0], [1, 0, 0, 1])


def test_large_integers_keep_what_float64_holds():
    nanoseconds = [1_700_000_000_123_456_789 + step for step in (0, 10**9, 2 * 10**9, 5 * 10**9)]
    assert_array_equal(matrix({"a": nanoseconds})[:, 0], np.array(nanoseconds, float))


def test_one_hot_drops_the_first_level():
    recipe, data = table({"city": ["oslo", "bonn", "rome", "bonn"], "a": [1, 2, 3, 5]}, categorical=["city"])
    assert recipe.names == ("city=oslo", "city=rome", "a")
    assert_array_equal(data.values["x"], [[1, 0, 1], [0, 0, 2], [0, 1, 3], [0, 0, 5]])


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pl.Series([10, 9, 10, 8]), ("c=9", "c=10")),  # sorted as numbers
        (pl.Series([2**53, 2**53 + 1, 2**53, 2**53 + 1]), ("c=9007199254740993",)),  # not through floats
        (pl.Series([1.0, 2.5, 1.0, 1.0]), ("c=2.5",)),
        (pl.Series([True, False, True, True]), ("c=true",)),
        (pl.Series(["NA", "NO", "NA", "NA"]), ("c=NO",)),  # a country, not a missing cell
        (pl.Series(["x", "w", "x", "w"], dtype=pl.Categorical), ("c=x",)),
        (pl.Series(["x", "w", "x", "w"], dtype=pl.Enum(["x", "w"])), ("c=w",)),  # as declared
        (pl.Series(["9", "10", "9", "9"], dtype=pl.Enum(["10", "9", "8"])), ("c=9",)),
        (pl.Series(["10", "9", "9", "8"]), ("c=9", "c=10")),  # sorted as numbers
        (pl.Series(["05", "00", "05", "10"]), ("c=05", "c=10")),  # codes keep their zeros
        (pl.Series(["1.1", "1.10", "1.1", "1.1"]), ("c=1.10",)),  # two levels, though one number
        (pl.Series(["l" * 60 + "1", "l" * 60 + "2"] * 2), ("c=" + "l" * 60 + "2",)),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_one_hot_of_many_dtypes(column, names):
    assert table({"c": column}, categorical=["c"])[0].names == names


def test_missing_rows_are_dropped_when_asked_and_counted():
    columns = {"a": [1, None, 3, 4], "b": [1.0, 2.0, float("nan"), 5.0], "c": ["x", "y", "x", "y"]}
    _, data = table(columns, drop_missing=True, categorical=["c"])
    assert data.dropped_rows == 2 and data.rows.tolist() == [0, 3]
    assert_array_equal(data.values["x"], [[1, 1, 0], [4, 5, 1]])
    assert_array_equal(data.values["y"], [1, 8])


@pytest.mark.parametrize("word", ["", " ", "NA", "NaN", "n/a", "null", "None", "?", ".", "#N/A", "<NA>"])
def test_words_for_missing_numbers(word):
    _, data = table({"a": ["1", word, "3", "4"]}, drop_missing=True)
    assert_array_equal(data.values["x"][:, 0], [1, 3, 4])
    assert data.dropped_rows == 1


def test_levels_of_dropped_rows_make_no_column():
    columns = {"a": [1, 2, 3, None], "c": ["x", "y", "x", "z"]}
    assert table(columns, drop_missing=True, categorical=["c"])[0].names == ("a", "c=y")


A = [1.0, 2.0, 3.0, 5.0]
MANY = [f"level {number}" for number in range(51)]
NAN, INF = float("nan"), float("inf")

UNFIT = {
    "no such target": ({"a": A}, {"target": "prise"}, "--target 'prise': no such column. Columns: 'a'"),
    "nearest target": ({"price": A}, {"target": "prise"}, "Did you mean 'price'?"),
    "many columns": (
        {f"x{i}": A for i in range(9)},
        {"target": "prise"},
        "Columns: 'x0', 'x1', 'x2', 'x3', 'x4', 'x5' and 3 more.",
    ),
    "no covariates": ({}, {}, "no covariate columns beside the target 'y'; expected at least 1"),
    "stray words": ({"a": A, "b": ["1", "2", "red", "4"]}, {}, "'b' is not numeric.*give --missing 'red'"),
    "words": (
        {"a": A, "b": ["1", "NA", "red", ""]},
        {},
        "'b' is not numeric, for example 'red'.*--categorical b",
    ),
    "two of words": ({"b": list("1xyz"), "c": list("uvwx")}, {}, "'b' is not numeric .as are 'c'., .* 'x'"),
    "dates": (
        {"a": [date(2024, 1, day) for day in (1, 2, 3, 4)]},
        {},
        "'a' is not numeric.*'2024-01-01'.*Date",
    ),
    "lists": ({"a": [[1], [2], [3], [4]]}, {}, r"'a' is not numeric.*It holds List\(Int64\) values"),
    "no dates": ({"a": pl.Series([None] * 4, dtype=pl.Date)}, {}, "'a' is not numeric. It holds Date values"),
    "categorical dates": (
        {"a": [date(2024, 1, day) for day in (1, 2, 3, 4)]},
        {"categorical": ["a"]},
        "'a' is not numeric",
    ),
    "line break": ({"a": ["x\ny", "1", "2", "3"]}, {}, r"for example 'x\\ny'"),
    "long cell": ({"a": ["x" * 99, "1", "2", "3"]}, {}, r"for example 'x{37}\.\.\.'"),
    "no such categorical": (
        {"color": list("rgbr")},
        {"categorical": ["colour"]},
        "--categorical 'colour': no such column.*Did you mean 'color'?",
    ),
    "categorical target": ({"a": A}, {"categorical": ["y"]}, "--categorical 'y' is the target"),
    "missing": (
        {"a": [1, None, 2, None], "b": [1.0, 2.0, NAN, 3.0], "y": [None, 1.0, 2.0, 3.0]},
        {},
        r"missing values in 4 of 4 rows; by column: 'a' \(2\), 'b' \(1\), 'y' \(1\).*--drop-missing",
    ),
    "missing level": (
        {"c": ["u", None, "v", " "]},
        {"categorical": ["c"]},
        r"missing values in 2 of 4 rows; by column: 'c' \(2\)",
    ),
    "empty column": ({"a": A, "b": [None] * 4}, {}, r"missing values in 4 of 4 rows; by column: 'b' \(4\)"),
    "all dropped": (
        {"a": A, "b": [None] * 4},
        {"drop_missing": True},
        r"has 0 rows after dropping 4 rows with missing values \('b' \(4\)\).*Remove the columns",
    ),
    "one left": (
        {"a": [1, None, None, None]},
        {"drop_missing": True},
        "has 1 row after dropping 3 rows with missing values",
    ),
    "one row": ({"a": [1.0], "y": [1.0]}, {}, "has 1 row; expected at least 2. Add rows"),
    "infinite": ({"a": [1.0, -INF, INF, 2.0]}, {}, "'a' holds 2 values infinite, the first in data row 2"),
    "infinite words": ({"a": ["1", "2", "3", "inf"]}, {}, "'a' holds 1 value infinite.*row 4"),
    "infinite target": ({"a": A, "y": [1.0, 2.0, 3.0, INF]}, {}, "'y' holds 1 value infinite"),
    "beyond float32": ({"a": [1.0, 2.0, 3.0, -1e39]}, {}, "'a' holds 1 value beyond 32-bit floats .*row 4"),
    "constant": ({"a": A, "b": [7] * 4}, {}, "constant column 'b', 7 in every row.*Remove it"),
    "constant, nearly": ({"a": [0.3, 0.1 + 0.2, 0.3, 0.3]}, {}, "column 'a' varies by less than rounding"),
    "constant, tiny": ({"a": [1e-40, 2e-40, 3e-40, 4e-40]}, {}, "column 'a' varies by less than rounding"),
    "identifiers": (
        {"id": [10**17 + step for step in (1, 2, 3, 4)]},
        {},
        "'id' varies by less than rounding, as from 100000000000000001 to 100000000000000004.*an identifier",
    ),
    "two constants": ({"a": [True] * 4, "b": [0] * 4}, {}, "constant column 'a', 'b'"),
    "constant once dropped": (
        {"a": [1, 1, 1, 2], "b": [1, 2, 3, None]},
        {"drop_missing": True},
        "constant column 'a', after dropping 1 row with missing values",
    ),
    "constant level": ({"c": ["u"] * 4}, {"categorical": ["c"]}, "constant column 'c', u in every row"),
    "constant level once dropped": (
        {"a": [1, 2, 3, None], "c": list("uuuv")},
        {"drop_missing": True, "categorical": ["c"]},
        "constant column 'c', after dropping 1 row",
    ),
    "colliding names": (
        {"c": list("uvuv"), "c=v": A},
        {"categorical": ["c"]},
        "duplicate covariates 'c=v' after one-hot encoding",
    ),
}


@pytest.mark.parametrize(("columns", "options", "message"), UNFIT.values(), ids=UNFIT)
def test_unfit_columns(columns, options, message):
    with pytest.raises(InputError, match="^my/sales.csv: .*" + message) as caught:
        table(columns, source="my/sales.csv", **options)
    assert "\n" not in str(caught.value)


def test_too_many_levels():
    columns = {"y": np.arange(51.0), "id": MANY}
    with pytest.raises(InputError, match=r"'id' is not numeric.*its 51 distinct values are too many"):
        table(columns)
    with pytest.raises(InputError, match="--categorical 'id' has 51 distinct values; at most 50 are taken"):
        table(columns, categorical=["id"])
    assert len(table({name: column[:50] for name, column in columns.items()}, categorical=["id"])[0].names) == 49


def test_from_file_to_numbers(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a, b,city,y\n1, 2.5,oslo,3\n2, NA,bonn,4\n3, 1e2,bonn,7\n4, -1,rome,8\n")
    recipe, data = regression(read_table(path), categorical=["city"], drop_missing=True)
    assert recipe.names == ("a", "b", "city=oslo", "city=rome")
    assert_array_equal(data.values["x"], [[1, 2.5, 1, 0], [3, 100, 0, 0], [4, -1, 0, 1]])
    assert_array_equal(data.values["y"], [3, 7, 8])
    assert data.dropped_rows == 1
