"""Options that say how a table is read."""

import io
import os

import polars as pl
import pytest
from cli.cases import regression_table


@pytest.fixture
def infer(posterity, tmp_path):
    """Answers a table that is given as text; the latents that it has, and the remarks."""

    def run(text, *words):
        path = tmp_path / "data.csv"
        path.write_text(text)
        outcome = posterity("infer", "linear_regression", path, "--target", "y", "--json", "--draws", 200, *words)
        assert outcome.code == 0, outcome.err
        (entry,) = outcome.json["datasets"]
        return list(entry["latents"]), entry["num_rows"], outcome.err.replace(str(tmp_path), "")

    return run


def test_codes_for_missing_cells_may_be_named(infer):
    frame = regression_table().cast(pl.String).with_row_index("row")
    coded = frame.with_columns(
        age=pl.when(pl.col("row") == 3).then(pl.lit("-999")).otherwise("age"),
        height=pl.when(pl.col("row") == 5).then(pl.lit("?")).otherwise("height"),
    ).drop("row")
    _, num_rows, err = infer(coded.write_csv(), "--missing", "-999", "--drop-missing")
    assert num_rows == 22 and err == "left out 2 rows with missing values\n"


def test_columns_may_be_left_out(infer, refused, table):
    names = [f"id {row}" for row in range(24)]
    frame = regression_table().with_columns(pl.Series("name", names), other=1.0)
    latents, *_ = infer(frame.write_csv(), "--ignore", "name", "--ignore", "other")
    assert latents == ["w[age]", "w[height]", "b", "sigma"]
    error = refused("infer", "linear_regression", table, "--target", "y", "--ignore", "hight")
    assert "--ignore 'hight': no such column" in error and "Did you mean 'height'" in error


def test_separators_are_found_out_and_told(infer):
    text = regression_table().write_csv(separator=";").replace(".", ",")
    latents, num_rows, err = infer(text)
    assert latents == ["w[age]", "w[height]", "b", "sigma"] and num_rows == 24
    first, second = err.splitlines()
    assert first == "/data.csv: cells are separated by semicolons; give --separator if they are not"
    assert second == "/data.csv: decimal commas; give --decimal . if they are none"
    assert infer(text, "--separator", ";", "--decimal", ",") == (latents, 24, "")
    tabs = regression_table().write_csv(separator="\t")
    assert infer(tabs, "--separator", "tab") == (latents, 24, "")


def test_categories_of_new_rows_keep_their_zeros(posterity, refused, tmp_path):
    frame = regression_table().drop("height").with_columns(pl.Series("place", ["00", "05", "85+"] * 8))
    data, new = tmp_path / "data.csv", tmp_path / "new.csv"
    frame.write_csv(data)
    new.write_text("place,age\n05,40\n00,40\n")
    words = ["predict", "linear_regression", data, new, "--target", "y", "--categorical", "place", "--json"]
    assert len(posterity(*words).json["predictions"]) == 2
    new.write_text("place,age\n5,40\n")
    assert "'place' has the category '5' in data row 1" in refused(*words)


def test_groups_keep_their_zeros(posterity, tmp_path):
    path = tmp_path / "data.csv"
    regression_table().drop("height").with_columns(pl.Series("place", ["01", "1"] * 12)).write_csv(path)
    words = ["infer", "linear_regression", path, "--target", "y", "--group", "place", "--json"]
    assert [entry["name"] for entry in posterity(*words).json["datasets"]] == ["01", "1"]


def test_covariates_may_be_named(infer, refused, table):
    text = regression_table().with_row_index("Unnamed: 0").write_csv()
    latents, _, err = infer(text)
    assert "w[Unnamed: 0]" in latents and "looks like an index that was saved beside the data" in err
    latents, _, err = infer(text, "--columns", "age")
    assert latents == ["w[age]", "b", "sigma"] and err == ""
    error = refused("infer", "linear_regression", table, "--target", "y", "--columns", "hight")
    assert "--columns 'hight': no such column" in error and "Did you mean 'height'" in error


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_may_come_from_standard_input(posterity, monkeypatch, kind):
    content = io.BytesIO()
    getattr(regression_table(), f"write_{kind}")(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.getvalue())))
    outcome = posterity("infer", "linear_regression", "-", "--target", "y", "--json", "--draws", 200)
    assert outcome.json["datasets"][0]["num_rows"] == 24


def test_standard_input_that_is_no_table(refused, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "error: standard input: is empty" in refused("infer", "linear_regression", "-", "--target", "y")


def test_a_pipe_is_no_table(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    error = refused("infer", "linear_regression", tmp_path / "pipe.csv", "--target", "y")
    assert "is a pipe or a device; expected a file" in error
    assert "is a pipe or a device" in refused("infer", "linear_regression", "/dev/zero", "--target", "y")


def test_a_folder_may_have_py_in_its_name(refused, table, tmp_path):
    (tmp_path / "my.python.estimator").mkdir()
    error = refused("infer", tmp_path / "my.python.estimator", table, "--target", "y")
    assert "it has no readable estimator.json" in error


def test_terminals_obey_no_header_and_no_label(posterity, refused, tmp_path):
    """A column called so would set the terminal's title."""
    path = tmp_path / "data.csv"
    regression_table().rename({"age": "\x1b]0;evil\x07"}).with_columns(pl.Series("g", ["\x1b[2J", "b"] * 12)).write_csv(
        path
    )
    for words in (["--ignore", "g"], ["--group", "g"]):
        outcome = posterity("infer", "linear_regression", path, "--target", "y", *words)
        assert outcome.code == 0 and "\x1b" not in outcome.out + outcome.err
        assert "\\x1b" in outcome.out
    assert "'g' is not numeric, for example '\\x1b[2J'" in refused("infer", "linear_regression", path, "--target", "y")
