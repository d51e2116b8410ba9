"""`posterity infer --group`: a line for each group, and all latents in a file."""

import numpy as np
import polars as pl
import pytest


@pytest.fixture
def sales(tmp_path):
    rng = np.random.default_rng(0)
    store = np.repeat(["a", "b", "c"], 12)
    x = rng.normal(size=36)
    path = tmp_path / "sales.csv"
    pl.DataFrame({"store": store, "x": x, "y": 2.0 * x + rng.normal(size=36)}).write_csv(path)
    return path


MODEL = "linear_regression"
COMMAND = ("--target", "y", "--group", "store", "--draws", 200)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_latents_of_all_groups_go_to_a_file(posterity, sales, suffix):
    out = sales.with_name(f"out.{suffix}")
    outcome = posterity("infer", MODEL, sales, *COMMAND, "-o", out)
    assert outcome.code == 0 and "3 groups" in outcome.out and f"wrote {out}" in outcome.err
    frame = pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out)
    assert frame["name"].unique(maintain_order=True).to_list() == ["a", "b", "c"]
    assert frame["latent"].to_list() == 3 * ["w[x]", "b", "sigma"]
    assert {"verdict", "pareto_k", "mean", "sd"} <= set(frame.columns)
    whole = pl.read_csv(sales)  # z-scored as a whole: one factor turns the weights of every store into its units
    per_unit = whole["y"].std(ddof=0) / whole["x"].std(ddof=0)
    weights = frame.filter(pl.col("latent") == "w[x]")
    assert weights["table_mean"].to_numpy() == pytest.approx(per_unit * weights["mean"].to_numpy(), rel=1e-4)


def test_json_has_an_entry_for_each_group(posterity, sales):
    found = posterity("infer", MODEL, sales, *COMMAND, "--json").json
    assert [entry["name"] for entry in found["datasets"]] == ["a", "b", "c"]
    assert all(
        entry["num_rows"] == 12 and entry["latents"].keys() == {"w[x]", "b", "sigma"} for entry in found["datasets"]
    )


@pytest.mark.parametrize("suffix", [None, "parquet", "csv"])
def test_a_report_has_all_groups(posterity, sales, suffix):
    report = sales.with_name("index.html")
    output = () if suffix is None else ("-o", sales.with_name(f"out.{suffix}"))
    assert posterity("infer", MODEL, sales, *COMMAND, "--report", report, *output).code == 0
    text = report.read_text()
    assert "3 of 3" in text and text.count('<td class="yes">corrected</td>') == 3
    assert "posterity infer linear_regression sales.csv" in text


def test_one_group_is_answered_as_among_all(posterity, sales):
    report = sales.with_name("b.html")
    alone = posterity("infer", MODEL, sales, *COMMAND, "--of", "b", "--json", "--report", report).json["datasets"]
    among_all = posterity("infer", MODEL, sales, *COMMAND, "--json").json["datasets"]
    assert alone[0]["latents"] == among_all[1]["latents"] and alone[0]["name"] == "b"
    assert "sales.csv, store b" in report.read_text()


def test_what_does_not_go_with_groups(refused, sales):
    assert "ends in .parquet or .csv" in refused("infer", MODEL, sales, *COMMAND, "-o", "out.nc")
    assert "--of a: says which dataset of --group" in refused("infer", MODEL, sales, "--target", "y", "--of", "a")
    assert "unknown dataset 'd'. Known: 'a', 'b', 'c'" in refused("infer", MODEL, sales, *COMMAND, "--of", "d")
    assert "--compare-nuts is for one" in refused("infer", MODEL, sales, *COMMAND, "--compare-nuts")
    wrong = ("--target", "y", "--group", "stores")
    assert "Did you mean 'store'" in refused("infer", MODEL, sales, *wrong)
