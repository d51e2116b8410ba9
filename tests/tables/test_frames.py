"""Frames of any library go in; everything else is refused by name."""

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tables.cases import regression

from posterity.runtime.errors import InputError
from posterity.tables import as_frame

COLUMNS = {"a": [1.0, 2.0, 4.0], "c": ["u", "v", "u"], "y": [3, 5, 4]}


def test_frames_of_polars_come_through():
    frame = pl.DataFrame(COLUMNS)
    assert as_frame(frame) == (frame, "table")
    assert_frame_equal(as_frame(frame.lazy(), "sales")[0], frame)
    assert as_frame(frame, default="new rows")[1] == "new rows"


def test_a_path_is_read_and_names_the_table(tmp_path):
    path = tmp_path / "data.csv"
    pl.DataFrame(COLUMNS).write_csv(path)
    frame, source = as_frame(path, text_columns=["y"], missing=["3"])
    assert source == str(path) and frame["y"].to_list() == [None, "5", "4"]


def test_a_pandas_frame_is_the_same_table():
    frame, source = as_frame(pd.DataFrame(COLUMNS, index=[7, 8, 9]))
    assert source == "table"
    assert_frame_equal(frame, pl.DataFrame(COLUMNS))
    np.testing.assert_array_equal(
        regression(frame, categorical=["c"])[1].values["x"],
        regression(pl.DataFrame(COLUMNS), categorical=["c"])[1].values["x"],
    )


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.array([1, None, 2**62 + 1], dtype="Int64"), pl.Series([1, None, 2**62 + 1])),
        (pd.array([True, None, False], dtype="boolean"), pl.Series([True, None, False])),
        (pd.Series([1.5, float("nan"), 2.0]), pl.Series([1.5, None, 2.0])),
        (pd.Series(["u", None, "v"]), pl.Series(["u", None, "v"])),
        (pd.Series([1, "v", None], dtype=object), pl.Series(["1", "v", None])),
        (pd.Categorical(["v", "u", None]), pl.Series(["v", "u", None])),
        (
            pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            pl.Series(["lo", "hi", "lo"], dtype=pl.Enum(["lo", "hi"])),
        ),
        (pd.to_datetime(["2024-01-02", None]), pl.Series([dt.datetime(2024, 1, 2), None])),
    ],
    ids=str,
)
def test_columns_of_pandas(column, expected):
    frame, _ = as_frame(pd.DataFrame({"a": column}))
    assert frame["a"].dtype.base_type() == expected.dtype.base_type()
    assert frame["a"].to_list() == expected.to_list()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ((1, 2), "table: got a value of type tuple; expected the path of a CSV or Parquet file, or a frame"),
        ([[1, 2]], "type list"),
        ([], "an empty list"),
        ({}, "an empty dict"),
        (None, "type NoneType"),
        (np.zeros((3, 2)), "type ndarray"),
        (pl.Series([1]), "type Series"),
        (b"data.csv", "type bytes"),
        (pd.DataFrame([[1, 2]]), "column name 0 is no text but of type int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "duplicate column names: .*'a' 2 times"),
        (pd.DataFrame({"": [1], "a": [2]}), "column 1 of 2 has no name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_table(table, message):
    with pytest.raises(InputError, match=message) as caught:
        as_frame(table)
    assert "\n" not in str(caught.value)


def test_an_arrow_table_is_the_same_table():
    arrow = pytest.importorskip("pyarrow")
    assert_frame_equal(as_frame(arrow.table(COLUMNS))[0], pl.DataFrame(COLUMNS))


def test_neither_pandas_nor_pyarrow_is_needed():
    code = (
        "import sys; sys.modules.update(pandas=None, pyarrow=None)\n"
        "import polars as pl; from posterity.tables import as_frame\n"
        "print(as_frame(pl.DataFrame({'a': [1]}))[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 1)", done.stderr
