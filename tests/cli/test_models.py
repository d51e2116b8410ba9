"""`posterity models`."""

from posterity.informed_posterior.bend.store import trained_for
from posterity.model.builtin import MODELS
from posterity.model.formula import RESPONSE_FAMILIES


def test_every_builtin_model_is_listed(posterity):
    outcome = posterity("models", "--json")
    assert outcome.code == 0
    listed = {entry["name"]: entry for entry in outcome.json["models"]}
    assert list(listed) == list(MODELS)
    assert listed["linear_regression"]["options"] == {"prior_sd": 1.0, "noise_prior_sd": 1.0}
    assert listed["linear_regression"]["envelope"] == {"rows": [16, 128], "plates": {"features": [1, 10]}}


def test_every_family_of_formulas_is_listed(posterity):
    assert [entry["name"] for entry in posterity("models", "--json").json["families"]] == list(RESPONSE_FAMILIES)
    assert "negative_binomial" in posterity("models").out


def test_nothing_that_must_be_trained_is_said_to_ship(posterity):
    assert set(posterity("models", "--json").json) == {"models", "families", "row_network"}


def test_the_table_shows_the_same(posterity):
    out = posterity("models").out
    assert "built-in models" in out and "gaussian_mixture" in out and "posterity train MODEL" in out


def test_the_row_network_tells_size_reach_and_origin(posterity):
    network = posterity("models", "--json").json["row_network"]
    assert network["num_params"] > 1000 and 4 * network["num_params"] < network["bytes"] < 2_000_000
    assert network["trained_for"] == trained_for()
    out, said = posterity("models").out, f"a row network of {network['num_params']} weights"
    assert network["command"].startswith("python -m posterity.")
    for words in (said, network["command"]):
        assert "".join(words.split()) in "".join(out.split())  # lines break anywhere in a narrow terminal
