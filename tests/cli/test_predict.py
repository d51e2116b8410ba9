"""`posterity predict` from a table and new rows."""

import numpy as np
import polars as pl
import pytest
from cli.cases import regression_table


@pytest.fixture
def new_rows(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("height,age\n1.7,40\n1.7,60\n1.8,\n")
    return path


def test_predictions_are_in_the_units_of_the_table(posterity, table, new_rows, tmp_path):
    """The slope is 5 with noise of 30: 20 years are 100 units; the posterior of 24 rows knows that to about 25."""
    out = tmp_path / "predictions.csv"
    words = ["predict", "linear_regression", table, new_rows, "--target", "y", "--drop-missing"]
    outcome = posterity(*words, "--json", "-o", out)
    assert outcome.code == 0
    assert "no prediction for 1 of 3 rows" in outcome.err and f"wrote {out}" in outcome.err
    found = outcome.json
    assert (found["target"], found["kind"], found["interval"], found["verdict"]) == ("y", "real", 0.9, "corrected")
    young, old, unknown = found["predictions"]
    assert young["mean"] == pytest.approx(300.0, abs=40.0)
    assert old["mean"] - young["mean"] == pytest.approx(100.0, abs=75.0)
    # 2 x 1.645 times the noise of 30, which 24 rows know to a fifth either way.
    assert 60.0 < young["upper"] - young["lower"] < 150.0
    assert unknown == {"row": 3, "mean": None, "median": None, "lower": None, "upper": None}
    written = pl.read_csv(out)
    assert written.to_dicts() == found["predictions"]
    shown = posterity(*words, "--interval", 0.5)
    assert shown.out.startswith("corrected  from 24 rows") and "bounds hold 50% of a new observation" in shown.out


def test_labels_and_categories_are_those_of_the_table(posterity, tmp_path, refused):
    rng = np.random.default_rng(0)
    place = rng.choice(["north", "south"], 60)
    bought = np.where(rng.random(60) < np.where(place == "south", 0.9, 0.1), "yes", "no")
    data, new = tmp_path / "data.csv", tmp_path / "new.csv"
    pl.DataFrame({"age": rng.normal(40.0, 9.0, 60), "place": place, "bought": bought}).write_csv(data)
    new.write_text("place,age\nsouth,40\nnorth,40\n")
    words = [
        *("predict", "logistic_regression", data, new),
        *("--target", "bought", "--categorical", "place", "--set", "prior_sd=2.5"),
    ]
    south, north = posterity(*words, "--json").json["predictions"]
    assert list(south) == ["row", "predicted", "p[yes]", "lower[yes]", "upper[yes]"]
    assert (south["predicted"], north["predicted"]) == ("yes", "no")
    assert north["upper[yes]"] < 0.5 < south["lower[yes]"] < south["p[yes]"] < south["upper[yes]"]
    new.write_text("place,age\nwest,40\n")
    assert "'place' has the category 'west' in data row 1" in refused(*words, "-o", tmp_path / "out.csv")


def test_new_rows_that_do_not_fit_are_refused(refused, table, tmp_path):
    new = tmp_path / "new.csv"
    new.write_text("age\n40\n")
    assert "no column 'height'" in refused("predict", "linear_regression", table, new, "--target", "y")
    wrong = ["predict", "linear_regression", table, table, "--target", "y"]
    assert "expected a probability above 0 and below 1" in refused(*wrong, "--interval", 90)
    assert "ends in .csv" in refused(*wrong, "-o", tmp_path / "out.nc")
    assert "no such file" in refused(*wrong[:3], tmp_path / "none.csv", "--target", "y").lower()


def test_a_model_without_a_target_has_nothing_to_predict(refused, gaussian, tmp_path):
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("a,b\n0.3,-1\n-0.5,0.2\n0.9,0.1\n0.1,0.4\n")
    assert "no target, so there is nothing to predict" in refused("predict", gaussian, numbers, numbers)


def test_strict_makes_an_untrusted_answer_fail(posterity, regression, table):
    words = ["predict", regression, table, table, "--target", "y", "--json"]
    assert posterity(*words).code == 0
    outcome = posterity(*words, "--strict")
    assert outcome.code == 1 and outcome.json["verdict"] == "untrusted" and outcome.json["reasons"]
    assert len(outcome.json["predictions"]) == regression_table().height
