"""`posterity infer "y ~ x + (1 | g)" table.csv` and `posterity predict` on the same road."""

import polars as pl
import pytest
from formula_cases import plants

pytest.importorskip("formulaic")


@pytest.fixture
def plants_csv(tmp_path):
    path = tmp_path / "plants.csv"
    plants().write_csv(path)
    return path


def test_a_formula_is_answered_in_the_units_of_the_table(posterity, plants_csv):
    outcome = posterity("infer", "height ~ rain + soil", plants_csv, "--json", "--draws", 200)
    assert (outcome.code, outcome.err) == (0, "")  # columns that it does not mention are nobody's business
    found = outcome.json
    assert found["model"] == "height ~ rain + soil"
    (entry,) = found["datasets"]
    assert list(entry["latents"]) == ["Intercept", "rain", "soil[T.loam]", "soil[T.sand]", "sigma"]
    assert "table_units" not in entry  # they are those of `latents` already
    assert 100.0 < entry["latents"]["Intercept"]["mean"] < 130.0


def test_the_table_is_shown_once(posterity, plants_csv):
    outcome = posterity("infer", "height ~ rain", plants_csv, "--draws", 200)
    assert outcome.code == 0
    assert outcome.out.count("Intercept") == 1 and "z-scored" not in outcome.out
    assert "height ~ rain on plants.csv: 48 rows" in outcome.out


def test_options_of_formulas_reach_the_program(posterity, refused, plants_csv):
    words = ("infer", "sprouts ~ rain", plants_csv, "--family", "binomial")
    assert "needs the trials of each row" in refused(*words)
    outcome = posterity(*words, "--trials", "seeds", "--prior", "b=Normal(0, 0.001)", "--draws", 200, "--json")
    assert outcome.code == 0
    (entry,) = outcome.json["datasets"]
    assert abs(entry["latents"]["rain"]["sd"]) < 0.001
    assert entry["num_rows"] == 48


def test_groups_of_a_csv_are_text(posterity, tmp_path):
    frame = plants().with_columns(plot=pl.col("plot").replace({"p0": "01", "p1": "1"}), won=pl.col("alive") == "yes")
    frame.write_csv(tmp_path / "plants.csv")
    outcome = posterity(
        "infer", "won ~ 1 + (1 | plot)", tmp_path / "plants.csv", "--family", "bernoulli", "--json", "--draws", 200
    )
    assert outcome.code == 0
    labels = [label for label in outcome.json["datasets"][0]["latents"] if label.startswith("plot[")]
    assert labels == [f"plot[{level}, Intercept]" for level in ("01", "1", "p2", "p3", "p4", "p5")]


def test_new_rows_are_predicted(posterity, plants_csv, tmp_path):
    plants()[:3].drop("height").write_csv(tmp_path / "new.csv")
    outcome = posterity("predict", "height ~ rain", plants_csv, tmp_path / "new.csv", "--json", "--draws", 200)
    assert outcome.code == 0
    assert outcome.json["target"] == "height"
    assert all(100.0 < line["mean"] < 140.0 for line in outcome.json["predictions"])


def test_each_value_of_a_column_may_be_a_dataset(posterity, plants_csv, tmp_path):
    out = tmp_path / "all.csv"
    outcome = posterity("infer", "height ~ rain", plants_csv, "--group", "soil", "-o", out, "--draws", 200)
    assert outcome.code == 0
    frame = pl.read_csv(out)
    assert set(frame["name"]) == {"clay", "loam", "sand"} and set(frame["latent"]) == {"Intercept", "rain", "sigma"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("height ~ rian",), "no column 'rian'"),
        (("height ~ rain + (1 | plot",), "is not closed"),
        (("height ~ rain", "--family", "gaussian"), "unknown family 'gaussian'"),
        (("height ~ rain", "--target", "height"), "'target' is not for formulas"),
        (("height ~ rain", "--set", "prior_sd=2"), "'options' is not for formulas"),
        (("height ~ rain", "--standardize"), "'standardize' is not for formulas"),
        (("height ~ rain", "--prior", "b"), "--prior b: expected NAME=VALUE"),
        (("height ~ rain", "--prior", "b=Normal(0, -1)"), "its 'scale' cannot be -1"),
        (("linear_regression", "--target", "height", "--family", "normal"), "'family' is for formulas"),
    ],
)
def test_bad_input_is_one_line(refused, plants_csv, words, message):
    assert message in refused("infer", words[0], plants_csv, *words[1:])
