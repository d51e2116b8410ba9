"""Files: what is read, and the one clear error for each way that a file can be unfit."""

import gzip
import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from posterity.runtime.errors import InputError
from posterity.tables import read_table, without_columns

FRAME = pl.DataFrame({"age": [59, 48, 72], "bmi": [32.1, 21.6, None], "y": [151.0, 75.0, 141.0]})
CSV = b"age,bmi,y\n59,32.1,151.0\n48,21.6,75.0\n72,,141.0\n"


@pytest.fixture(autouse=True)
def _inside_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a user names them, "data.csv", so that messages can be compared."""
    monkeypatch.chdir(tmp_path)


def write(content: bytes, name: str = "data.csv") -> str:
    Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", CSV),
        ("DATA.CSV", CSV),
        ("data[1]*.csv", CSV),  # no pattern
        ("data.csv.gz", gzip.compress(CSV, mtime=0)),
        ("data.csv", gzip.compress(CSV, mtime=0)),
        ("data.csv.gz", CSV),
        ("data.csv", b"\xef\xbb\xbf" + CSV),
        ("data.csv", CSV.replace(b"\n", b"\r\n")),
        ("data.csv", b"\n" + CSV.replace(b"age,bmi,y", b' age ,"bmi ", y')),
        ("data.csv", CSV + b"\n\n"),
        ("data.csv", CSV.replace(b"\n48", b"\n\n,,\n48")),  # lines without any value are no rows
    ],
)
def test_csv(name, content):
    assert_frame_equal(read_table(write(content, name)), FRAME)


def test_parquet():
    FRAME.write_parquet("data.parquet")
    assert_frame_equal(read_table("data.parquet"), FRAME)
    assert_frame_equal(read_table(Path("data.parquet")), FRAME)


def test_parquet_in_a_hive_named_directory_gets_no_extra_column():
    os.mkdir("year=2024")
    FRAME.write_parquet("year=2024/data.parquet")
    assert read_table("year=2024/data.parquet").columns == FRAME.columns


def test_late_rows_decide_the_dtype_too():
    frame = read_table(write(b"a,b\n" + b"1,2\n" * 20_000 + b"1.5,3\n"))
    assert frame.dtypes == [pl.Float64, pl.Int64]
    assert frame["a"][-1] == 1.5


def test_single_column_keeps_empty_cells():
    assert read_table(write(b"a\n1\n\n3\n"))["a"].to_list() == [1, None, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "no rows; expected at least 2"),
        (bytes(range(256)) * 4, "is not CSV: it holds binary data"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"PAR1xxxxPAR1", "holds Parquet, not CSV"),
        (b"a,caf\xe9\n1,2\n3,4\n", "is not CSV in UTF-8 .*0xe9"),
        (b"a,b\n1,2\n" * 5_000 + b"caf\xe9,4\n", "is not CSV in UTF-8 .*0xe9"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells; expected 2"),
        (b"a,b\n1,2\n1\n3,4\n", "line 3 has 1 cell; expected 2"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "line 4 has 1 cell; expected 2"),  # a quote that never closes
        (b"a,b\r1,2\r3,4\r", "2 names in the header, 4 columns in the rows.*line ends"),
        (b"sep=;\na;b\n1;2\n3\n", "line 4 has 1 cell; expected 2"),
        (b"a,b,a\n1,2,3\n4,5,6\n", "duplicate column names 'a'"),
        (b"a,b, a\n1,2,3\n4,5,6\n", "duplicate column names 'a'"),
        (b"a,,b\n1,2,3\n4,5,6\n", "column 2 of 3 has no name"),
        (b"a,b,\n1,2,\n4,5,\n", "column 3 of 3 has no name"),
        (b'"",a,b\n0,2,3\n1,5,6\n', "column 1 of 3 has no name .*An index saved beside the data"),
        (b"5.1,3.5,0\n4.9,3.0,1\n", "first line holds numbers .'5.1', '3.5', '0'.; expected column names"),
        (b'"a"x",b\n1,2\n3,4\n', "2 names in the header, 1 column in the rows.*quotes of the header"),
        (b'a,b\n1,"' + b"2" * 200_000, "not readable as CSV .field larger than field limit"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_unfit_csv(content, message, packed):
    name = write(gzip.compress(content, mtime=0), "data.csv.gz") if packed else write(content)
    with pytest.raises(InputError, match=f"^{name}: .*{message}") as caught:
        read_table(name)
    assert "\n" not in str(caught.value)


def test_numbered_columns_are_names():
    assert read_table(write(b"0,1\n1.5,2\n3.5,4\n")).columns == ["0", "1"]


def test_zero_bytes():
    with pytest.raises(InputError, match=r"^data\.parquet: is empty"):
        read_table(write(b"", "data.parquet"))


def test_missing_file():
    with pytest.raises(InputError, match=r"^no/such\.csv: no such file\. Check the spelling"):
        read_table("no/such.csv")


def test_directory():
    os.mkdir("tables.csv")
    with pytest.raises(InputError, match=r"^tables\.csv: is a directory; expected one CSV or Parquet file"):
        read_table("tables.csv")


@pytest.mark.parametrize(("name", "suffix"), [("data.xlsx", r"\.xlsx"), ("data", "no suffix")])
def test_unknown_suffix(name, suffix):
    with pytest.raises(InputError, match=rf"unknown kind of file \({suffix}\); expected \.csv, .*\.parquet"):
        read_table(write(CSV, name))


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_gzip(damage):
    packed = bytearray(gzip.compress(os.urandom(30_000).hex().encode()))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[len(packed) // 2] ^= 255
    with pytest.raises(InputError, match=r"^data\.csv\.gz: cannot be read .*fetch it again"):
        read_table(write(bytes(packed), "data.csv.gz"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission():
    os.chmod(write(CSV), 0)
    with pytest.raises(InputError, match=r"^data\.csv: cannot be read .*Permission denied.*permissions"):
        read_table("data.csv")


@pytest.mark.parametrize("content", [b"PAR1 and then nothing of the kind PAR1", CSV])
def test_corrupt_parquet(content):
    with pytest.raises(InputError, match=r"^data\.parquet: is not readable as Parquet") as caught:
        read_table(write(content, "data.parquet"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1], "": [2]}, "column 2 of 2 has no name"),
        ({"a": [1], " a": [2]}, "duplicate column names 'a'"),
        ({"a": []}, "no rows"),
        ({}, "no rows"),
    ],
)
def test_unfit_parquet(columns, message):
    pl.DataFrame(columns).write_parquet("data.parquet")
    with pytest.raises(InputError, match=rf"^data\.parquet: .*{message}"):
        read_table("data.parquet")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"age;bmi;y\n59;32,1;151,0\n48;21,6;75\n72;;141\n", ["separated by semicolons", "decimal commas"]),
        (b"age;bmi;y\n59;32.1;151.0\n48;21.6;75.0\n72;;141.0\n", ["separated by semicolons"]),
        (CSV.replace(b",", b"\t"), ["separated by tabs"]),
        (CSV.replace(b",", b"|"), ["separated by bars"]),
        (b"sep=,\n" + CSV, []),
        (b"\xef\xbb\xbfsep=;\r\n" + CSV.replace(b",", b";").replace(b"\n", b"\r\n"), []),
    ],
)
def test_separators_and_decimal_commas_are_found_out_and_told(content, told):
    guesses: list[str] = []
    assert_frame_equal(read_table(write(content), on_guess=guesses.append), FRAME)
    assert len(guesses) == len(told)
    assert all(guess.startswith("data.csv: ") and word in guess for guess, word in zip(guesses, told, strict=True))


def test_separator_and_decimal_may_be_given():
    guesses: list[str] = []
    path = write(b"a;b,c\n1,5;2\n2,5;4\n")
    frame = read_table(path, separator=";", decimal=",", on_guess=guesses.append)
    assert frame.to_dict(as_series=False) == {"a": [1.5, 2.5], "b,c": [2, 4]} and guesses == []
    with pytest.raises(InputError, match="--separator ';;': expected one character"):
        read_table(path, separator=";;")
    with pytest.raises(InputError, match=r"--decimal 'x': expected \. or ,"):
        read_table(path, decimal="x")
    with pytest.raises(InputError, match="--decimal ','"):
        read_table(path, separator=",", decimal=",")


def test_commas_within_quotes_separate_nothing():
    frame = read_table(write(b'"age, years";"bmi"\n59;32.1\n'))
    assert frame.to_dict(as_series=False) == {"age, years": [59], "bmi": [32.1]}


def test_commas_that_may_part_thousands_are_not_taken_for_decimal_ones():
    assert read_table(write(b"a;b\n1,234;2\n2,500;4\n"))["a"].to_list() == ["1,234", "2,500"]


def test_columns_read_as_text_keep_their_zeros():
    frame = read_table(write(b"g, code ,y\n01,05,1\n1,,2\n"), text_columns=["g", "code", "no column"])
    assert frame.to_dict(as_series=False) == {"g": ["01", "1"], "code": ["05", None], "y": [1, 2]}


def test_codes_for_missing_cells():
    frame = read_table(write(b"a,b,c\n-999,x,1.5\n3,-999,-999\n4,none,2\n"), missing=["-999", "none"])
    assert frame.to_dict(as_series=False) == {"a": [None, 3, 4], "b": ["x", None, None], "c": [1.5, None, 2.0]}


def test_columns_left_out():
    frame = without_columns(FRAME, ["bmi"], "data.csv")
    assert frame.columns == ["age", "y"]
    with pytest.raises(InputError, match=r"data\.csv: --ignore 'bmj': no such column.*Did you mean 'bmi'"):
        without_columns(FRAME, ["bmj"], "data.csv")
