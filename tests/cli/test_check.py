"""`posterity check`."""

import json
import shutil

import pytest

CELL_KEYS = {
    "rows",
    "plates",
    "num_datasets",
    "num_draws",
    "num_latents",
    "ess_fraction",
    "healthy",
    "trusted",
    "forward_nll",
    "elbo",
    "contraction",
    "raw",
    "corrected",
}
JUDGED_KEYS = {
    "num_datasets",
    "coverage",
    "sbc_p_value",
    "sbc_latent",
    "tarp_p_value",
    "c2st",
    "z_score",
    "p_value",
    "calibrated",
}
FEW = ["--datasets", 130, "--draws", 60]


def test_json_and_report_say_the_same_of_every_cell(posterity, gaussian, tmp_path):
    report = tmp_path / "report.json"
    outcome = posterity("check", gaussian, *FEW, "--json", "-o", report)
    assert outcome.code == 0
    assert outcome.err == f"wrote {report}\n"
    found = outcome.json
    assert json.loads(report.read_text()) == found
    assert "simulated from the model" in found["notes"][0]
    sizes = [(cell["rows"], cell["plates"]["dims"]) for cell in found["cells"]]
    assert sizes == [(2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)]
    assert all(set(cell) == CELL_KEYS and set(cell["raw"]) == JUDGED_KEYS for cell in found["cells"])
    assert set(found["cells"][0]["corrected"]) == JUDGED_KEYS
    assert [cell["num_latents"] for cell in found["cells"]] == [1, 2, 1, 2, 1, 2]


def test_a_prior_covers_but_wastes_draws_as_rows_grow(posterity, gaussian):
    """The network is untrained, so q is the prior: coverage is right, importance weights get worse.

    Four standard errors, for two latents in each of six cells; the seed is fixed.
    """
    cells = posterity("check", gaussian, *FEW, "--json").json["cells"]
    assert cells[0]["ess_fraction"] > cells[-1]["ess_fraction"]
    assert cells[0]["contraction"] == pytest.approx(0.0, abs=0.3)
    for cell in cells:
        found = cell["raw"]["coverage"]["90"]
        assert found["mean"] == pytest.approx(0.9, abs=4 * found["error"])


def test_a_report_is_one_html_file(posterity, gaussian, tmp_path):
    page = tmp_path / "check.html"
    outcome = posterity("check", gaussian, *FEW, "--report", page)
    assert outcome.code == 0 and outcome.err == f"wrote {page}\n"
    html = page.read_text()
    assert "Calibration report" in html and "gaussian_mean" in html
    assert f"posterity check {gaussian.name}" in html and str(tmp_path) not in html
    assert {path.name for path in tmp_path.iterdir()} == {"check.html"}


def test_strict_gates_on_what_was_judged(posterity, gaussian, regression):
    """Draws of the prior are corrected and calibrated with few rows; a barely trained estimator is not, and says so."""
    good = posterity("check", gaussian, *FEW, "--strict", "--json")
    assert (good.code, good.json["outcome"]) == (0, "calibrated")
    lax, strict = (posterity("check", regression, *FEW, *more) for more in ([], ["--strict"]))
    assert (lax.code, strict.code) == (0, 1) and lax.out == strict.out
    first = lax.out.splitlines()[0]
    assert first.startswith(("not judged", "not calibrated", "partly judged"))


def test_the_outcome_can_be_kept_in_the_estimator(posterity, refused, regression, table, tmp_path):
    copy = tmp_path / "copy.estimator"
    shutil.copytree(regression, copy)
    assert "not trained" in refused("check", "linear_regression", "--keep")
    kept = posterity("check", copy, *FEW, "--keep")
    assert kept.code == 0 and f"replaced {copy}" in kept.err
    found = posterity("infer", copy, table, "--target", "y", "--json").json["datasets"][0]
    assert found["estimator"]["calibration"] == "not judged"
    assert found["reasons"][-1].endswith("by its check not judged.")


def test_too_few_datasets_or_draws_are_refused(refused, regression):
    assert "give 126 or more" in refused("check", regression, "--datasets", 40)
    assert "at least 25" in refused("check", regression, "--draws", 24)


def test_an_output_that_cannot_be_written_is_refused_before_any_work(refused, tmp_path):
    assert ".html" in refused("check", "linear_regression", "--report", tmp_path / "check.pdf")
    assert ".json" in refused("check", "linear_regression", "-o", tmp_path / "check.html")


def test_the_same_seed_gives_the_same_report(posterity, gaussian):
    first, again, other = (
        posterity("check", gaussian, *FEW, "--json", "--seed", seed).json["cells"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_table_names_cells_and_says_what_was_simulated(posterity, regression, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    outcome = posterity("check", regression, *FEW)
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 100
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["rows", "features", "sets", "ESS"] in [row[:4] for row in rows]
    assert [row[:2] for row in rows if row[:1] == ["32"]] == [["32", "1"], ["32", "2"], ["32", "3"]]
    assert sum(row[:1] == ["corrected"] for row in rows) == sum("raw" in row for row in rows) == 9
    assert "Datasets are simulated from the model" in outcome.out
    assert "trained on z-scored tables" in " ".join(outcome.out.split())


def test_an_estimator_of_ones_own_needs_its_model(posterity, refused, own, own_model):
    assert "--model my_model.py:shop" in refused("check", own)
    assert posterity("check", own, "--model", f"{own_model}:shop", *FEW, "--json").code == 0
