"""Rows of one table, told apart by a column."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from posterity.runtime.errors import InputError
from posterity.tables import members, read_table, split_groups


def split(cells, **how):
    return {name: rows.tolist() for name, rows in split_groups(pl.DataFrame({"g": cells}), "g", **how).items()}


def test_groups_stand_in_the_order_in_which_they_come_up():
    assert list(split(["b", "a", "b", "c", "a"]).items()) == [("b", [0, 2]), ("a", [1, 4]), ("c", [3])]


def test_labels_are_text():
    assert list(split([3, 1, 3])) == ["3", "1"]
    assert list(split([3.0, 1.5, 3.0])) == ["3.0", "1.5"]
    assert list(split([True, False])) == ["true", "false"]
    assert list(split([date(2024, 1, 2), date(2024, 1, 1)])) == ["2024-01-02", "2024-01-01"]
    assert list(split(pl.Series(["v", "u"], dtype=pl.Categorical))) == ["v", "u"]


def test_names_are_compared_whole():
    long = "n" * 20_000
    assert split(["a", "a\0", long, long + "m", "a"]) == {"a": [0, 4], "a\0": [1], long: [2], long + "m": [3]}


def test_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("g,y\n01,1\n1,2\n01,3\n")
    frame = read_table(path, text_columns=["g"])
    assert {name: rows.tolist() for name, rows in split_groups(frame, "g").items()} == {"01": [0, 2], "1": [1]}


@pytest.mark.parametrize(
    "cells", [["a", None, "b"], ["a", " ", "b"], [1.0, float("nan"), 2.0], ["1", "NA", "2"], [1, None, 2]]
)
def test_rows_without_a_group_are_refused_or_left_out(cells):
    with pytest.raises(InputError, match=r"'g' is missing in 1 of 3 rows.*--drop-missing"):
        split(cells)
    assert list(split(cells, drop_missing=True).values()) == [[0], [2]]


def test_a_country_is_no_missing_cell():
    assert list(split(["NA", "NO"])) == ["NA", "NO"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([timedelta(1), timedelta(2)], r"--group 'g' holds Duration.* values; expected text"),
        ([[1], [2]], r"--group 'g' holds List\(Int64\) values"),
        ([b"a", b"b"], "--group 'g' holds Binary values"),
        ([{"a": 1}, {"a": 2}], "--group 'g' holds Struct.* values"),
    ],
)
def test_what_cannot_name_a_group_is_refused(cells, message):
    with pytest.raises(InputError, match=message) as caught:
        split(cells)
    assert "\n" not in str(caught.value)


def test_columns_of_no_label_and_none_are_refused():
    with pytest.raises(InputError, match=r"table: --group 'shp': no such column. Columns: 'shop'.*Did you mean 'shop'"):
        split_groups(pl.DataFrame({"shop": ["a"]}), "shp")
    with pytest.raises(InputError, match="is the target or a categorical column, too"):
        split(["a", "b"], others={"g", None})
    with pytest.raises(InputError, match="missing in every row"):
        split([None, None], drop_missing=True)


def test_members_are_rows_of_the_dataset():
    groups = {"b": np.array([0, 3]), "a": np.array([1, 4]), "c": np.array([2])}
    found = members(groups, np.array([1, 3, 4, 5]))  # rows 0 and 2 were left out; row 5 has no group
    assert {name: rows.tolist() for name, rows in found.items()} == {"b": [1], "a": [0, 2]}


def test_a_hundred_thousand_groups():
    """About half a second; what grows with rows times groups would not come back for hours."""
    cells = np.random.default_rng(0).integers(0, 100_000, 1_000_000)
    frame = pl.DataFrame({"g": cells}).with_columns(pl.col("g").cast(pl.String))
    groups = split_groups(frame, "g")
    found = members(groups, np.arange(0, 1_000_000, 2))
    assert sum(map(len, found.values())) == 500_000
