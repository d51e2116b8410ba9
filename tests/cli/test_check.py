"""`posterity check`."""

import json

import pytest

CELL_KEYS = {
    "rows",
    "plates",
    "num_datasets",
    "num_draws",
    "ess_fraction",
    "healthy",
    "forward_nll",
    "elbo",
    "coverage",
    "sbc_p_value",
    "sbc_latent",
    "num_latents",
    "calibrated",
}
FEW = ["--datasets", 40, "--draws", 60]


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
    assert all(set(cell) == CELL_KEYS for cell in found["cells"])
    assert [cell["num_latents"] for cell in found["cells"]] == [1, 2, 1, 2, 1, 2]


def test_a_prior_is_calibrated_but_wastes_draws_as_rows_grow(posterity, gaussian):
    """The network is untrained, so q is the prior: coverage is right, importance weights get worse.

    Each of the six cells alarms with probability 0.001 at most; the seed is fixed.
    """
    cells = posterity("check", gaussian, *FEW, "--json").json["cells"]
    assert all(cell["calibrated"] for cell in cells)
    assert cells[0]["ess_fraction"] > cells[-1]["ess_fraction"]
    for cell in cells:
        found = cell["coverage"]["90"]
        assert found["mean"] == pytest.approx(found["expected"], abs=4 * found["error"])


def test_the_same_seed_gives_the_same_report(posterity, gaussian):
    first, again, other = (
        posterity("check", gaussian, *FEW, "--json", "--seed", seed).json["cells"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_table_names_cells_and_says_what_was_simulated(posterity, regression):
    outcome = posterity("check", regression, *FEW)
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["rows", "features", "ESS"] in [row[:3] for row in rows]
    assert [row[:2] for row in rows if row[:1] == ["32"]] == [["32", "1"], ["32", "3"]]
    assert "Datasets are simulated from the model" in outcome.out
    assert "trained on z-scored tables" in " ".join(outcome.out.split())


def test_an_estimator_of_ones_own_needs_its_model(posterity, refused, own, own_model):
    assert "--model my_model.py:shop" in refused("check", own)
    assert posterity("check", own, "--model", f"{own_model}:shop", *FEW, "--json").code == 0
