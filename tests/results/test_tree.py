"""The DataTree as ArviZ and xarray read it, and the file that is whole or absent."""

import os

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from results.conftest import COLUMNS

from posterity.results.arviz import to_datatree, write_netcdf
from posterity.runtime.errors import InputError


def test_groups_dims_and_coordinates_are_those_of_arviz(answer):
    tree = answer.to_datatree()
    assert set(tree.children) == {"posterior", "sample_stats", "proposal", "observed_data", "constant_data"}
    for group in ("posterior", "proposal"):
        assert tree[group]["w"].dims == ("chain", "draw", "features")
        assert tree[group]["sigma"].dims == ("chain", "draw")
    assert_array_equal(tree.proposal["w"].sel(features="age [years]")[0], answer.draws["w"][:, 1])
    for name, values in (
        ("log_weights", answer.weights.log_weights),
        ("log_q", answer.log_q),
        ("log_joint", answer.log_joint),
    ):
        assert_array_equal(tree.proposal[name].sel(chain=0), values)
    assert tree.observed_data["y"].dims == ("observations",)
    assert_array_equal(tree.observed_data["y"], answer.observed["y"])
    assert tree.constant_data["x"].dims == ("observations", "features")
    assert tree.constant_data["features"].values.tolist() == list(COLUMNS)


def test_the_posterior_is_resampled_where_the_weights_are_trusted(answer):
    tree = answer.to_datatree()
    index = tree.sample_stats["index"].values[0]
    assert_array_equal(tree.posterior["w"][0], answer.draws["w"][index])
    assert_array_equal(tree.sample_stats["lp"][0], answer.log_joint[index])
    copies = np.bincount(index, minlength=answer.num_draws)
    expected = answer.num_draws * np.exp(answer.weights.log_weights)
    assert np.all(np.abs(copies - expected) < 1.0) and copies.max() > 1


@pytest.mark.parametrize("verdict", ["untrusted", "refined"])
def test_other_verdicts_take_the_draws_as_they_are(make_answer, verdict):
    tree = make_answer(verdict=verdict).to_datatree()
    assert_array_equal(tree.posterior["w"], tree.proposal["w"])
    assert tree.posterior.attrs["verdict"] == verdict


def test_draws_of_a_sampler_have_no_proposal(make_answer, tmp_path):
    tree = make_answer(verdict="refined", log_q=None).to_datatree()
    assert "proposal" not in tree.children and tree.posterior.sizes["draw"] == 200
    write_netcdf(tree, tmp_path / "posterior.nc")


def test_arviz_counts_as_many_effective_draws_as_the_weights_allow(make_answer):
    """Copies stand side by side, so that they show as autocorrelation: 1 / sum w^2 comes back from ArviZ.

    The estimate of ESS from 4000 draws errs by about a tenth; a third is 3 of its errors.
    """
    from arviz_stats import ess

    rng = np.random.default_rng(0)
    log_q = np.zeros(4000)
    answer = make_answer(
        4000,
        log_q=log_q,
        log_joint=log_q + rng.normal(size=4000),
        draws={"b": rng.normal(size=4000)},
        labels={"b": ("b",)},
    )
    assert answer.verdict == "corrected" and answer.weights.ess < 2200
    assert float(ess(answer.to_datatree())["b"]) == pytest.approx(answer.weights.ess, rel=0.33)


def test_fewer_draws_are_spread_over_all(answer):
    tree = answer.to_datatree(num_draws=20)
    assert tree.posterior.sizes["draw"] == 20 and tree.proposal.sizes["draw"] == 200
    index = tree.sample_stats["index"].values[0]
    assert index[0] < 20 and index[-1] >= 180
    for wrong in (0, 201):
        with pytest.raises(InputError, match=f"num_draws must be from 1 to the 200 draws of the answer; got {wrong}"):
            answer.to_datatree(num_draws=wrong)


def test_what_needs_the_likelihood_is_refused_without_the_model(answer):
    with pytest.raises(InputError, match=r"holds numbers only.*needs the model's likelihood"):
        answer.to_datatree(log_likelihood=True)


def test_arviz_summary_names_latents_by_column(answer):
    from arviz_stats.summary import summary

    tree = to_datatree(answer)
    table = summary(tree, kind="stats", round_to=8)
    assert list(table.index) == ["w[bmi]", "w[age [years]]", "w[bp]", "sigma"]
    assert_allclose(table.loc["w[bp]", "mean"], tree.posterior["w"][0, :, 2].mean(), rtol=1e-5)


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
        covariates={"x": np.zeros((12, 0))},
        coords={"features": ()},
    )
    write_netcdf(to_datatree(spoilt), tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        assert loaded.sample_stats.attrs["pareto_k"] == np.inf
        assert loaded.posterior["w"].shape == (1, 200, 0)
        assert np.isneginf(loaded.sample_stats["lp"]).all()


def test_scoped_names_and_unnamed_axes(make_answer, tmp_path):
    """NumPyro's scope handler writes "group/w"; a site without dims gets axes of its own."""
    scoped = make_answer(
        draws={"group/w": np.zeros((200, 2)), "m": np.zeros((200, 2, 3))},
        dims={"group/w": ("group/k",), "y": ("observations",)},
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


def test_a_latent_named_like_what_is_kept_about_draws_is_refused(make_answer):
    with pytest.raises(InputError, match="latent site 'log_q' is called like"):
        make_answer(draws={"log_q": np.zeros(200)}).to_datatree()


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
