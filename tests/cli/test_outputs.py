"""What a command reads it never overwrites, and what it replaces it says."""

import os
from pathlib import Path

import pytest
from cli.cases import OWN_MODEL, regression_table


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Tables that end as outputs do, and the bytes that must stay."""
    monkeypatch.chdir(tmp_path)
    frame = regression_table()
    frame.write_csv("data.csv")
    frame.write_csv("new.csv")
    frame.write_parquet("data.parquet")
    os.symlink("data.csv", "link.csv")
    os.link("data.csv", "hard.csv")
    os.mkdir("sub")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    yield tmp_path
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("output", ["data.csv", "./data.csv", "sub/../data.csv", "link.csv", "hard.csv", "new.csv"])
def test_predictions_replace_neither_table(refused, inputs, output):
    error = refused("predict", "linear_regression", "data.csv", "new.csv", "--target", "y", "-o", output)
    assert f"cannot write '{Path(output)}': it is '" in error and "Choose another name" in error
    absolute = refused("predict", "linear_regression", "data.csv", "new.csv", "--target", "y", "-o", inputs / output)
    assert "which this command reads" in absolute


def test_latents_of_groups_replace_no_table(refused, inputs):
    words = ("--group", "age", "--target", "y")
    assert "it is 'data.parquet'" in refused("infer", "linear_regression", "data.parquet", *words, "-o", "data.parquet")
    assert "it is 'data.csv'" in refused("infer", "linear_regression", "data.csv", *words, "-o", "link.csv")


def test_draws_and_reports_replace_no_table_however_it_is_linked(refused, inputs):
    os.symlink("data.csv", "out.nc")
    os.symlink("data.csv", "out.html")
    infer = ("infer", "linear_regression", "data.csv", "--target", "y")
    assert "it is 'data.csv'" in refused(*infer, "-o", "out.nc")
    assert "it is 'data.csv'" in refused(*infer, "--report", "out.html")


def test_two_outputs_are_two_files(refused, inputs):
    infer = ("infer", "linear_regression", "data.csv", "--target", "y")
    (inputs / "both.nc").touch()
    os.symlink("both.nc", "both.html")
    assert "it is 'both.nc'" in refused(*infer, "-o", "both.nc", "--report", "both.html")
    os.symlink("later.json", "later.html")  # neither is there yet
    assert "it is 'later.json'" in refused("check", "linear_regression", "-o", "later.json", "--report", "later.html")


def test_models_and_estimators_are_inputs_too(refused, inputs):
    (inputs / "own.py").write_text(OWN_MODEL)
    os.symlink("own.py", "own.nc")
    assert "it is 'own.py'" in refused("infer", "own.py:shop", "data.csv", "--target", "y", "-o", "own.nc")
    (inputs / "my.estimator").mkdir()
    (inputs / "my.estimator" / "estimator.json").write_text("{}")
    assert "it is 'my.estimator'" in refused("check", "my.estimator", "-o", "my.estimator/estimator.json")


def test_what_is_replaced_is_said(posterity, inputs):
    (inputs / "out.csv").touch()
    words = ["predict", "linear_regression", "data.csv", "new.csv", "--target", "y", "-o", "out.csv"]
    assert posterity(*words).err == "replaced out.csv\n"  # "wrote" where there was none: test_predict.py
