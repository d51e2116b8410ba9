"""`posterity models`."""

import shutil

import pytest

from posterity import estimators
from posterity.informed.store import trained_for
from posterity.models import MODELS


@pytest.fixture
def shipped(regression, tmp_path, monkeypatch):
    """A package that ships one estimator, under the name of a model, and a folder that is none."""
    shutil.copytree(regression, tmp_path / "linear_regression")
    (tmp_path / "__pycache__").mkdir()
    monkeypatch.setattr(estimators, "HOME", tmp_path)


def test_every_builtin_model_is_listed(posterity):
    outcome = posterity("models", "--json")
    assert outcome.code == 0
    listed = {entry["name"]: entry for entry in outcome.json["models"]}
    assert list(listed) == list(MODELS)
    assert listed["linear_regression"]["options"] == {"prior_sd": 1.0, "noise_prior_sd": 1.0}
    assert listed["linear_regression"]["envelope"] == {"rows": [16, 128], "plates": {"features": [1, 10]}}


def test_shipped_estimators_tell_size_quality_and_origin(posterity, shipped, tmp_path):
    (entry,) = posterity("models", "--json").json["estimators"]
    assert entry["name"] == "linear_regression"
    assert entry["bytes"] == sum(file.stat().st_size for file in (tmp_path / "linear_regression").iterdir())
    assert entry["envelope"] == {"rows": [16, 32], "plates": {"features": [1, 3]}}
    assert 0.0 <= entry["training"]["validation"]["ess_fraction"] <= 1.0
    assert entry["command"].startswith("posterity train linear_regression -o regression.estimator")
    assert entry["config"]["seed"] == 0


def test_the_tables_show_the_same(posterity, shipped):
    out = posterity("models").out
    assert "built-in models" in out and "shipped estimators" in out and "gaussian_mixture" in out


def test_a_package_without_estimators_says_so(posterity, tmp_path, monkeypatch):
    monkeypatch.setattr(estimators, "HOME", tmp_path)
    assert posterity("models", "--json").json["estimators"] == []
    assert "no trained estimator ships" in posterity("models").out


def test_the_row_network_tells_size_reach_and_origin(posterity):
    network = posterity("models", "--json").json["row_network"]
    assert network["num_params"] > 1000 and 4 * network["num_params"] < network["bytes"] < 2_000_000
    assert network["trained_for"] == trained_for()
    out = posterity("models").out
    assert f"a row network of {network['num_params']} weights" in out
    assert "posterity.informed.pretrain" in out.replace("\n", "")


def test_infer_finds_shipped_names(posterity, shipped, table):
    assert posterity("infer", "linear_regression", table, "--target", "y", "--draws", 30).code == 0


def test_a_shipped_name_comes_before_a_directory(shipped, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere"
    (other / "linear_regression").mkdir(parents=True)
    monkeypatch.chdir(other)
    assert estimators.find_estimator("linear_regression") == tmp_path / "linear_regression"
    assert estimators.find_estimator("./linear_regression").resolve() == other / "linear_regression"


def test_folders_in_the_package_are_estimators_or_nothing():
    """What ships is listed only where its record can be read."""
    for name, path in estimators.shipped_estimators().items():
        assert estimators.read_record(path)["format"] == "posterity.estimator", name
