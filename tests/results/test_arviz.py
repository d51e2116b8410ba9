"""The DataTree as ArviZ and xarray read it, and the file that is whole or absent."""

import os

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from results.conftest import COLUMNS

from posterity import read_model
from posterity.results.arviz import to_arviz, write_netcdf
from posterity.runtime.errors import InputError


def test_groups_dims_and_coordinates_are_those_of_arviz(posterior):
    tree = posterior.to_arviz(groups=())
    assert set(tree.children) == {"posterior", "sample_stats", "proposal", "observed_data", "constant_data"}
    for group in ("posterior", "proposal"):
        assert tree[group]["w"].dims == ("chain", "draw", "features")
        assert tree[group]["sigma"].dims == ("chain", "draw")
    assert_array_equal(tree.proposal["w"].sel(features="age [years]")[0], posterior.proposed["w"][:, 1])
    for name, values in (
        ("log_weights", posterior.weights.log_weights),
        ("log_q", posterior.log_q),
        ("log_joint", posterior.log_joint),
    ):
        assert_array_equal(tree.proposal[name].sel(chain=0), values)
    assert tree.observed_data["y"].dims == ("observations",)
    assert_array_equal(tree.observed_data["y"], posterior.observed["y"])
    assert tree.constant_data["x"].dims == ("observations", "features")
    assert tree.constant_data["features"].values.tolist() == list(COLUMNS)


def test_the_posterior_is_resampled_where_the_weights_are_trusted(posterior):
    tree = posterior.to_arviz(groups=())
    index = tree.sample_stats["index"].values[0]
    assert_array_equal(tree.posterior["w"][0], posterior.proposed["w"][index])
    assert_array_equal(tree.sample_stats["lp"][0], posterior.log_joint[index])
    copies = np.bincount(index, minlength=posterior.num_draws)
    expected = posterior.num_draws * np.exp(posterior.weights.log_weights)
    assert np.all(np.abs(copies - expected) < 1.0) and copies.max() > 1


def test_untrusted_draws_are_those_of_q_as_they_came(make_posterior):
    tree = make_posterior(verdict="untrusted").to_arviz(groups=())
    assert_array_equal(tree.posterior["w"], tree.proposal["w"])
    assert tree.posterior.attrs["verdict"] == "untrusted"


def test_draws_of_a_sampler_stand_beside_the_proposal(refined, tmp_path):
    tree = refined.to_arviz(groups=())
    assert_array_equal(tree.posterior["w"][0], refined.refined["w"][:100])
    assert_array_equal(tree.posterior["w"][1], refined.refined["w"][100:])
    assert_array_equal(np.ravel(tree.sample_stats["lp"]), refined.refined_log_joint)
    assert_array_equal(tree.proposal["w"][0], refined.proposed["w"])
    assert_array_equal(tree.proposal["log_joint"][0], refined.log_joint)
    assert tree.posterior.attrs["verdict"] == "refined" and tree.posterior.sizes["draw"] == 100
    assert "index" not in tree.sample_stats  # which tells of draws of q
    write_netcdf(tree, tmp_path / "posterior.nc")


def test_arviz_counts_as_many_effective_draws_as_the_weights_allow(make_posterior):
    """Copies stand side by side, so that they show as autocorrelation: 1 / sum w^2 comes back from ArviZ.

    The estimate of ESS from 4000 draws errs by about a tenth; a third is 3 of its errors.
    """
    from arviz_stats import ess

    rng = np.random.default_rng(0)
    log_q = np.zeros(4000)
    posterior = make_posterior(
        4000,
        log_q=log_q,
        log_joint=log_q + rng.normal(size=4000),
        proposed={"b": rng.normal(size=4000)},
    )
    assert posterior.verdict == "corrected" and posterior.weights.ess < 2200
    assert float(ess(posterior.to_arviz(groups=()))["b"]) == pytest.approx(posterior.weights.ess, rel=0.33)


def test_fewer_draws_are_spread_over_all(posterior):
    tree = posterior.to_arviz(num_draws=20, groups=())
    assert tree.posterior.sizes["draw"] == 20 and tree.proposal.sizes["draw"] == 200
    index = tree.sample_stats["index"].values[0]
    assert index[0] < 20 and index[-1] >= 180
    for wrong in (0, 201):
        with pytest.raises(InputError, match=f"must be from 1 to the 200 draws of the posterior; got {wrong}"):
            posterior.to_arviz(num_draws=wrong, groups=())


def test_fewer_draws_of_chains_are_spread_over_each(refined):
    tree = refined.to_arviz(num_draws=41, groups=())
    assert dict(tree.posterior.sizes) == {"chain": 2, "draw": 20, "features": 3}
    for chain, first in enumerate((0, 100)):
        rows = tree.posterior["w"][chain].values
        found = [np.flatnonzero((refined.refined["w"] == row).all(axis=1))[0] for row in rows]
        assert found == sorted(found) and first <= found[0] < first + 5 and first + 95 <= found[-1] < first + 100
    with pytest.raises(InputError, match="must be from 2 to the 200 draws"):
        refined.to_arviz(num_draws=1)


def test_arviz_summary_names_latents_by_column(posterior):
    from arviz_stats.summary import summary

    tree = to_arviz(posterior, groups=())
    table = summary(tree, kind="stats", round_to=8)
    assert list(table.index) == ["w[bmi]", "w[age [years]]", "w[bp]", "b", "sigma"]
    assert_allclose(table.loc["w[bp]", "mean"], tree.posterior["w"][0, :, 2].mean(), rtol=1e-5)


@pytest.mark.parametrize("reasons", [(), ("One reason.",), ("One reason: k-hat 0.8.", "Another, in German: fünf.")])
@pytest.mark.parametrize("name", [None, "store/4"])
def test_file_round_trip(make_posterior, reasons, name, tmp_path):
    posterior = make_posterior(reasons=reasons, name=name)
    tree = to_arviz(posterior, groups=())
    write_netcdf(tree, tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_identical(loaded.load(), tree)
        trust = loaded.sample_stats.attrs
        assert trust["verdict"] == "corrected"
        assert_allclose((trust["pareto_k"], trust["ess"]), (posterior.weights.pareto_k, posterior.weights.ess))
        assert tuple(trust["reasons"].splitlines()) == reasons
        assert loaded.attrs.get("name") == name
        assert loaded.attrs["model"] == "linear_regression"
        assert loaded.attrs["num_rows"] == posterior.num_rows
    assert os.listdir(tmp_path) == ["posterior.nc"]


def test_spoilt_posteriors_are_stored_too(make_posterior, tmp_path):
    proposed = {**make_posterior().proposed, "b": np.full(200, np.nan)}
    spoilt = make_posterior(log_joint=np.full(200, -np.inf), proposed=proposed)
    write_netcdf(to_arviz(spoilt, groups=()), tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        assert loaded.sample_stats.attrs["pareto_k"] == np.inf
        assert np.isnan(loaded.posterior["b"]).all()
        assert np.isneginf(loaded.sample_stats["lp"]).all()


def scoped(x, y=None, n=None):
    """NumPyro's scope handler writes "shop/w"; a site without plates gets axes of its own."""
    with numpyro.plate("shop/k", x.shape[-1]):
        w = numpyro.sample("shop/w", dist.Normal(0.0, 1.0))
    m = numpyro.sample("m", dist.Normal(0.0, 1.0).expand([2, 3]).to_event(2))
    numpyro.sample("y", dist.Normal((x @ w)[:, None] + m[:, 0], 1.0).to_event(1), obs=y)
    numpyro.sample("n", dist.Poisson(1.0).expand([x.shape[0]]), obs=n)


def test_scoped_names_and_unnamed_axes(make_posterior, tmp_path):
    data = {"x": np.zeros((12, 2), np.float32), "y": np.zeros((12, 2), np.float32), "n": np.arange(12)}
    found = make_posterior(
        model=read_model(scoped, data),
        data=data,
        proposed={"shop/w": np.zeros((200, 2)), "m": np.zeros((200, 2, 3))},
        columns={"x": ["heat", "rain"]},
    )
    write_netcdf(to_arviz(found, groups=()), tmp_path / "posterior.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as loaded:
        assert loaded.posterior["shop.w"].dims == ("chain", "draw", "shop.k")
        assert_array_equal(loaded.posterior["shop.k"], ["heat", "rain"])
        assert loaded.posterior["m"].dims == ("chain", "draw", "m_dim_0", "m_dim_1")
        assert loaded.observed_data["y"].dims == ("observations", "y_dim_0")


def plated(plate, site, rows="rows"):
    def model(x, y=None):
        with numpyro.plate(plate, x.shape[-1]):
            w = numpyro.sample(site, dist.Normal(0.0, 1.0))
        with numpyro.plate(rows, x.shape[0]):
            numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)

    return model


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("chain", "w"), "site 'w' has a plate called 'chain'.*Rename the plate"),
        (("draw", "w"), "site 'w' has a plate called 'draw'.*Rename the plate"),
        (("features", "w", "draw"), "has a plate called 'draw'"),
        (("features", "log_q"), "latent site 'log_q' is called like"),
    ],
)
def test_names_that_arviz_needs_itself_are_refused(make_posterior, names, message):
    data = {"x": np.zeros((12, 2), np.float32), "y": np.zeros(12, np.float32)}
    model = read_model(plated(*names), data)
    found = make_posterior(model=model, data=data, proposed={names[1]: np.zeros((200, 2))})
    with pytest.raises(InputError, match=message):
        found.to_arviz(groups=())


def test_file_that_exists_is_replaced_whole(posterior, tmp_path):
    path = tmp_path / "posterior.nc"
    path.write_text("old")
    with path.open() as reader:  # a reader of the old file keeps it: it was replaced, not overwritten
        write_netcdf(to_arviz(posterior, groups=()), path)
        assert reader.read() == "old"
    with xr.open_datatree(path, engine="h5netcdf") as loaded:
        assert "posterior" in loaded.children


def test_failure_leaves_the_old_file_and_nothing_else(posterior, tmp_path):
    """The attribute fails after the file was begun."""
    path = tmp_path / "posterior.nc"
    path.write_text("old")
    tree = to_arviz(posterior, groups=())
    tree["observed_data"].attrs["bad"] = object()
    with pytest.raises(TypeError):
        write_netcdf(tree, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["posterior.nc"]


@pytest.mark.parametrize("target", ["no_such_directory/posterior.nc", "a_file/posterior.nc", "a_directory", "."])
def test_unwritable_places_are_refused_in_one_line(posterior, target, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("old")
    (tmp_path / "a_directory").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"cannot write '{target}': .* Choose a file") as caught:
        write_netcdf(to_arviz(posterior, groups=()), target)
    assert "\n" not in str(caught.value)
    assert "unfinished" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["a_directory", "a_file"]
    assert os.listdir(tmp_path / "a_directory") == []
