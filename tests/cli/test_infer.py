"""`posterity infer` on tables that can serve."""

import numpy as np
import polars as pl
import pytest
import xarray as xr
from cli.cases import OWN_MODEL, regression_table, shop_table

from posterity.cli.infer import InferRequest

STATISTICS = {"mean", "sd", "q05", "q50", "q95"}
ENTRY_KEYS = {"name", "num_rows", "verdict", "pareto_k", "ess", "reasons", "latents"}
EVIDENCE_KEYS = {"value", "standard_error"}


@pytest.fixture
def numbers(tmp_path):
    """Four rows of a Gaussian with mean near zero: the prior is a fair q."""
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n0.3,-1\n-0.5,0.2\n0.9,0.1\n0.1,0.4\n")
    return path


def test_fit_is_a_second_line_on_request(posterity, table):
    """Beside the verdict, and in the JSON with every statistic; without the option neither."""
    words = ("infer", "linear_regression", table, "--target", "y", "--draws", 200)
    shown = posterity(*words, "--fit").out.splitlines()
    assert shown[1].startswith("fit  Nothing seen against the model: p = ")
    found = posterity(*words, "--fit", "--json").json["datasets"][0]["fit"]
    assert set(found) == {"p_value", "statistics", "num_replicated", "is_suspicious"}
    assert {"name", "value", "low", "high", "p_value"} == set(found["statistics"][0])
    assert "fit" not in posterity(*words, "--json").json["datasets"][0]


def test_json_is_the_one_of_the_contract(posterity, regression, table):
    outcome = posterity("infer", regression, table, "--target", "y", "--json", "--draws", 200)
    assert (outcome.code, outcome.err) == (0, "")
    found = outcome.json
    assert set(found) == {"model", "num_draws", "seconds", "datasets"}
    assert (found["model"], found["num_draws"]) == ("linear_regression", 200)
    assert found["seconds"] > 0.0
    (entry,) = found["datasets"]
    assert set(entry) - {"log_evidence"} == ENTRY_KEYS | {"table_units", "estimator"}
    assert ("log_evidence" in entry) == (entry["verdict"] == "corrected")
    assert (entry["name"], entry["num_rows"]) == (None, 24)
    assert list(entry["latents"]) == ["w[age]", "w[height]", "b", "sigma"] == list(entry["table_units"])
    assert all(set(summary) == STATISTICS for summary in entry["latents"].values())
    assert entry["verdict"] == ("untrusted" if entry["reasons"] else "corrected")
    frame, scaled, own = regression_table(), entry["latents"], entry["table_units"]
    sds = {name: float(np.std(frame[name].to_numpy())) for name in frame.columns}
    for name in ("age", "height"):
        for statistic in STATISTICS:
            expected = scaled[f"w[{name}]"][statistic] * sds["y"] / sds[name]
            assert own[f"w[{name}]"][statistic] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert own["sigma"]["mean"] == pytest.approx(scaled["sigma"]["mean"] * sds["y"], rel=1e-4)


def test_the_table_shows_verdict_and_both_scales(posterity, regression, table):
    outcome = posterity("infer", regression, table, "--target", "y", "--draws", 200)
    assert outcome.code == 0
    assert outcome.out.startswith(("untrusted", "corrected"))
    assert outcome.out.count("w[age]") == 2 and "in the units of the table" in outcome.out


def test_the_seed_decides_the_draws(posterity, regression, table):
    def means(seed):
        found = posterity("infer", regression, table, "--target", "y", "--json", "--draws", 200, "--seed", seed).json
        return [latent["mean"] for latent in found["datasets"][0]["latents"].values()]

    assert means(3) == means(3) != means(4)


def test_strict_tells_untrusted_from_corrected_by_the_exit_code(posterity, regression, gaussian, table, numbers):
    few = ["--strict", "--json", "--draws", 1000]
    poor = posterity("infer", regression, table, "--target", "y", "-o", table.with_name("out.nc"), *few)
    assert poor.json["datasets"][0]["verdict"] == "untrusted"
    assert poor.code == 1 and table.with_name("out.nc").exists()
    fair = posterity("infer", gaussian, numbers, *few)
    (entry,) = fair.json["datasets"]
    assert entry["verdict"] == "corrected" and set(entry["log_evidence"]) == EVIDENCE_KEYS, entry
    assert fair.code == 0


def test_a_matrix_of_data_takes_all_columns_and_gives_the_exact_posterior(posterity, gaussian, numbers, refused):
    """Conjugate: precision 1 + 4, mean 4/5 of the average. An ESS near 1000 leaves an error of 0.014."""
    found = posterity("infer", gaussian, numbers, "--json", "--draws", 4000).json["datasets"][0]
    columns = pl.read_csv(numbers).to_numpy()
    assert list(found["latents"]) == ["mu[a]", "mu[b]"]
    for summary, mean in zip(found["latents"].values(), 0.8 * columns.mean(axis=0), strict=True):
        assert summary["mean"] == pytest.approx(mean, abs=0.08)
        assert summary["sd"] == pytest.approx(0.2**0.5, abs=0.06)
    assert "table_units" not in found
    assert "has no target" in refused("infer", gaussian, numbers, "--target", "a")


@pytest.mark.parametrize("num_rows", [7, 70])
def test_rows_outside_the_envelope_are_answered_and_flagged(posterity, regression, tmp_path, num_rows):
    path = tmp_path / "data.csv"
    regression_table(num_rows).write_csv(path)
    (entry,) = posterity("infer", regression, path, "--target", "y", "--json", "--draws", 200).json["datasets"]
    assert entry["num_rows"] == num_rows
    assert f"{num_rows} rows lie outside the training envelope 16..32" in entry["reasons"]


def test_netcdf_is_read_by_xarray(posterity, regression, table, tmp_path):
    path = tmp_path / "posterior.nc"
    outcome = posterity("infer", regression, table, "--target", "y", "--draws", 200, "-o", path, "--json")
    assert outcome.err == f"wrote {path}\n"
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert tree["posterior"]["w"].shape == (1, 200, 2)
        assert tree["posterior"]["features"].values.tolist() == ["age", "height"]
        assert tree["proposal"]["log_weights"].shape == (1, 1112)
        assert tree["sample_stats"].attrs["verdict"] == outcome.json["datasets"][0]["verdict"]
        observed = tree["observed_data"]["y"].values
    assert observed.mean() == pytest.approx(0.0, abs=1e-6) and observed.std() == pytest.approx(1.0, abs=1e-6)


def test_parquet_categories_and_missing_cells(posterity, regression, tmp_path):
    path = tmp_path / "data.parquet"
    place = ["north", "south", None, *["north", "south"] * 10, "north"]
    regression_table().drop("height").with_columns(pl.Series("place", place)).write_parquet(path)
    words = ["--target", "y", "--categorical", "place", "--drop-missing", "--json", "--draws", 200]
    outcome = posterity("infer", regression, path, *words)
    assert outcome.code == 0
    assert "left out 1 rows with missing values" in outcome.err
    (entry,) = outcome.json["datasets"]
    assert entry["num_rows"] == 23
    assert list(entry["latents"]) == ["w[age]", "w[place=south]", "b", "sigma"]


def test_nuts_stands_beside(posterity, gaussian, numbers):
    outcome = posterity("infer", gaussian, numbers, "--json", "--compare-nuts")
    reference = outcome.json["datasets"][0]["nuts"]
    assert reference["max_r_hat"] < 1.02 and reference["min_ess"] > 400
    exact = 0.8 * pl.read_csv(numbers).to_numpy().mean(axis=0)
    assert [latent["mean"] for latent in reference["latents"].values()] == pytest.approx(exact, abs=0.05)
    assert "NUTS: 4 chains, worst R-hat" in outcome.err
    shown = posterity("infer", gaussian, numbers, "--compare-nuts", "--quiet")
    assert shown.err == ""
    assert "NUTS mean" in shown.out and "apart" in shown.out


def test_ones_own_model_gets_columns_as_they_are(posterity, own, own_model, tmp_path):
    path = tmp_path / "shop.csv"
    shop_table().write_csv(path)
    words = ["infer", own, path, "--target", "sales", "--model", f"{own_model}:shop", "--json"]
    plain = posterity(*words, "-o", tmp_path / "plain.nc")
    assert plain.code == 0
    (entry,) = plain.json["datasets"]
    assert list(entry["latents"]) == ["w[temperature]", "w[holiday]", "b"]
    assert "table_units" not in entry
    scaled = posterity(*words, "--standardize")
    assert scaled.json["datasets"][0]["latents"] != entry["latents"]
    with xr.open_datatree(tmp_path / "plain.nc", engine="h5netcdf") as tree:
        assert tree["observed_data"]["y"].values.tolist() == shop_table()["sales"].to_list()


def test_ones_own_model_must_be_the_one_that_was_trained(refused, own, own_model, tmp_path):
    path = tmp_path / "shop.csv"
    shop_table().write_csv(path)
    words = ["infer", own, path, "--target", "sales", "-o", tmp_path / "out.nc"]
    assert "--model my_model.py:shop" in refused(*words)
    changed = tmp_path / "changed.py"
    changed.write_text(OWN_MODEL.replace("0.3", "0.4"))
    assert "other source code" in refused(*words, "--model", f"{changed}:shop")
    assert "Did you mean 'shop'" in refused(*words, "--model", f"{own_model}:shopp")


def test_a_builtin_estimator_takes_no_other_model(refused, regression, own_model, table):
    error = refused("infer", regression, table, "--target", "y", "--model", f"{own_model}:shop")
    assert "trained for the built-in 'linear_regression'" in error


def test_a_builtin_regression_is_answered_without_training(posterity, table):
    """Three quarters of the target's variance is noise here; the conjugate part is exact, so all draws count."""
    (entry,) = posterity("infer", "linear_regression", table, "--target", "y", "--json").json["datasets"]
    assert entry["verdict"] == "corrected" and entry["ess"] > 950.0 and entry["pareto_k"] < 0.6
    assert list(entry["latents"]) == ["w[age]", "w[height]", "b", "sigma"] == list(entry["table_units"])
    assert entry["table_units"]["w[age]"]["q05"] < 5.0 < entry["table_units"]["w[age]"]["q95"]


def test_options_of_a_builtin_model_reach_it(refused, tmp_path):
    """A fourth class, which the model has only when it is asked for."""
    path = tmp_path / "classes.csv"
    regression_table().select("age", pl.Series("y", ["p", "q", "r", "s"] * 6)).write_csv(path)
    assert "this model takes at most 3" in refused("infer", "categorical_regression", path, "--target", "y")
    request = InferRequest(estimator="categorical_regression", table=path, target="y", set_=["num_classes=4"])
    question = request.open(request.read(path))
    assert question.recipe.classes == ("p", "q", "r", "s")
    assert [a.num_classes for a in question.estimator.model.data] == [4]


def test_a_model_in_a_file_is_answered_without_training(posterity, tmp_path):
    model, sales = tmp_path / "own.py", tmp_path / "sales.csv"
    model.write_text(OWN_MODEL)
    shop_table().write_csv(sales)
    found = posterity("infer", f"{model}:shop", sales, "--target", "sales", "--json").json
    (entry,) = found["datasets"]
    assert found["model"] == "shop" and entry["verdict"] == "corrected", entry["reasons"]
    assert list(entry["latents"]) == ["w[temperature]", "w[holiday]", "b"]
    assert entry["ess"] > 900.0


def test_a_report_is_one_html_file(posterity, refused, table, tmp_path):
    path = tmp_path / "report.html"
    words = ["infer", "linear_regression", table, "--target", "y", "--seed", 3]
    outcome = posterity(*words, "--report", path)
    assert outcome.code == 0 and outcome.err == f"wrote {path}\n"
    page = path.read_text(encoding="utf-8")
    assert "linear_regression on data.csv" in page and "The computation can be relied on." in page
    assert "In the units of the table" in page and ">w[age]<" in page
    assert "posterity infer linear_regression data.csv --target y --seed 3 --report report.html" in page
    assert "ends in .html" in refused(*words, "--report", tmp_path / "report.pdf")
