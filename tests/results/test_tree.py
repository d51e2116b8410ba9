"""The DataTree as ArviZ and xarray read it, and the file that is whole or absent."""

import os

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from posterity.checks import InputError
from posterity.results import to_datatree, write_netcdf


def test_groups_dims_and_coordinates_are_those_of_arviz(answer):
    tree = to_datatree(answer)
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data"}
    assert tree.posterior["w"].dims == ("chain", "draw", "features")
    assert tree.posterior["sigma"].dims == ("chain", "draw")
    assert_array_equal(tree.posterior["w"].sel(features="age [years]")[0], answer.draws["w"][:, 1])
    for name, values in (
        ("log_weights", answer.weights.log_weights),
        ("log_q", answer.log_q),
        ("log_joint", answer.log_joint),
    ):
        assert_array_equal(tree.sample_stats[name].sel(chain=0), values)
    assert tree.observed_data["y"].dims == ("observations",)
    assert_array_equal(tree.observed_data["y"], answer.observed["y"])


def test_arviz_summary_names_latents_by_column(answer):
    from arviz_stats.summary import summary

    table = summary(to_datatree(answer), kind="stats", round_to=8)
    assert list(table.index) == ["w[bmi]", "w[age [years]]", "w[bp]", "sigma"]
    assert_allclose(table.loc["w[bp]", "mean"], answer.draws["w"][:, 2].mean(), rtol=1e-5)


@pytest.mark.parametrize("reasons", [(), ("One reason.",), ("One reason: k-hat 0.8.", "Another, in German: fünf.")])
@pytest.mark.parametrize("group", [None, "store/4"])
def test_file_round_trip(answer, make_answer, reasons, group, tmp_path):
    answer = make_answer(reasons=reasons, group=group)
    tree = to_datatree(answer)
    write_netcdf(tree, tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_identical(loaded.load(), tree)
        trust = loaded.sample_stats.attrs
        assert trust["verdict"] == "corrected"
        assert_allclose((trust["pareto_k"], trust["ess"]), (answer.weights.pareto_k, answer.weights.ess))
        assert tuple(trust["reasons"].splitlines()) == reasons
        assert loaded.attrs.get("group") == group
        assert loaded.attrs["model"] == "linear_regression"
        assert loaded.attrs["num_rows"] == answer.num_rows
    assert os.listdir(tmp_path) == ["posterior.nc"]


def test_spoilt_and_empty_answers_are_stored_too(make_answer, tmp_path):
    spoilt = make_answer(
        log_joint=np.full(200, -np.inf),
        draws={"w": np.zeros((200, 0)), "b": np.full(200, np.nan)},
        coords={"features": ()},
    )
    write_netcdf(to_datatree(spoilt), tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        assert loaded.sample_stats.attrs["pareto_k"] == np.inf
        assert loaded.posterior["w"].shape == (1, 200, 0)
        assert np.isneginf(loaded.sample_stats["log_joint"]).all()


def test_scoped_names_and_unnamed_axes(make_answer, tmp_path):
    """NumPyro's scope handler writes "group/w"; a site without dims gets axes of its own."""
    scoped = make_answer(
        draws={"group/w": np.zeros((200, 2)), "m": np.zeros((200, 2, 3))},
        dims={"group/w": ("group/k",)},
        coords={"group/k": (1, 5)},
        observed={"y": np.zeros((12, 2)), "n": np.arange(12)},
    )
    write_netcdf(to_datatree(scoped), tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        assert loaded.posterior["group.w"].dims == ("chain", "draw", "group.k")
        assert_array_equal(loaded.posterior["group.k"], [1, 5])
        assert loaded.posterior["m"].dims == ("chain", "draw", "m_dim_0", "m_dim_1")
        assert loaded.observed_data["y"].dims == ("observations", "y_dim_0")


@pytest.mark.parametrize("name", ["chain", "draw"])
def test_a_plate_named_like_the_draws_is_refused(make_answer, name):
    with pytest.raises(InputError, match=f"site 'w' has a plate called '{name}'.*Rename the plate"):
        to_datatree(make_answer(dims={"w": (name,)}, coords={}))


def test_file_that_exists_is_replaced_whole(answer, tmp_path):
    path = tmp_path / "posterior.nc"
    path.write_text("old")
    with path.open() as reader:  # a reader of the old file keeps it: it was replaced, not overwritten
        write_netcdf(to_datatree(answer), path)
        assert reader.read() == "old"
    with xr.open_datatree(path, engine="h5netcdf") as loaded:
        assert "posterior" in loaded.children


def test_failure_leaves_the_old_file_and_nothing_else(answer, tmp_path):
    """The attribute fails after the file was begun."""
    path = tmp_path / "posterior.nc"
    path.write_text("old")
    tree = to_datatree(answer)
    tree["observed_data"].attrs["bad"] = object()
    with pytest.raises(TypeError):
        write_netcdf(tree, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["posterior.nc"]


@pytest.mark.parametrize("target", ["no_such_directory/posterior.nc", "a_file/posterior.nc", "a_directory", "."])
def test_unwritable_places_are_refused_in_one_line(answer, target, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("old")
    (tmp_path / "a_directory").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"cannot write '{target}': .* Choose a file") as caught:
        write_netcdf(to_datatree(answer), target)
    assert "\n" not in str(caught.value)
    assert "unfinished" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["a_directory", "a_file"]
    assert os.listdir(tmp_path / "a_directory") == []
