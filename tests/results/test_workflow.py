"""What ArviZ and arviz-plots do with NUTS output they do with a posterior, corrected or refined."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import posterity
from posterity.results.arviz import COMPUTED
from posterity.runtime.errors import InputError

FIXTURES = Path(__file__).parents[1] / "fixtures"


def table(num_rows=40):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(num_rows, 2)).astype(np.float32)
    return {"x": x, "y": (x @ [0.7, -0.4] + 0.5 * rng.normal(size=num_rows)).astype(np.float32)}


@pytest.fixture(scope="module")
def posteriors():
    """The informed answer, and that of a barely trained estimator, whose q must be left for chains."""
    poor = posterity.load(FIXTURES / "regression.estimator")
    found = {
        "corrected": posterity.infer("linear_regression", table()),
        "refined": poor.infer(table(), refine_seconds=60.0, num_draws=500),
    }
    assert {name: posterior.verdict for name, posterior in found.items()} == {name: name for name in found}
    return found


@pytest.fixture(scope="module")
def trees(posteriors):
    return {name: posterior.to_arviz() for name, posterior in posteriors.items()}


@pytest.mark.parametrize("which", ["corrected", "refined"])
def test_every_group_is_there_and_along_the_same_draws(trees, which):
    tree = trees[which]
    assert {*COMPUTED, "posterior", "sample_stats", "proposal", "observed_data", "constant_data"} == set(tree.children)
    for group in ("log_likelihood", "log_prior", "posterior_predictive", "sample_stats"):
        assert tree[group].sizes["chain"] == tree.posterior.sizes["chain"]
        assert tree[group].sizes["draw"] == tree.posterior.sizes["draw"]
    assert tree.prior["w"].dims == tree.posterior["w"].dims
    assert tree.prior_predictive["y"].dims == tree.log_likelihood["y"].dims == ("chain", "draw", "observations")


@pytest.mark.parametrize("which", ["corrected", "refined"])
def test_log_prior_and_likelihood_are_the_densities_of_the_model(posteriors, trees, which):
    """By SciPy: slopes and intercept are standard normal, the noise sd half normal, rows normal."""
    at, data = trees[which].posterior, posteriors[which].data
    w, b, sigma = (np.asarray(at[name], np.float64) for name in ("w", "b", "sigma"))
    log_prior = trees[which].log_prior
    assert_allclose(log_prior["w"], stats.norm.logpdf(w).sum(axis=-1), rtol=1e-4, atol=1e-5)
    assert_allclose(log_prior["b"], stats.norm.logpdf(b), rtol=1e-4, atol=1e-5)
    assert_allclose(log_prior["sigma"], stats.halfnorm.logpdf(sigma), rtol=1e-4, atol=1e-5)
    rows = stats.norm.logpdf(data["y"], w @ data["x"].T + b[..., None], sigma[..., None])
    assert_allclose(trees[which].log_likelihood["y"], rows, rtol=1e-3, atol=1e-4)
    lp = sum(np.asarray(log_prior[name]) for name in ("w", "b", "sigma")) + rows.sum(axis=-1) + np.log(sigma)
    assert_allclose(trees[which].sample_stats["lp"], lp, rtol=1e-4, atol=1e-3)


def test_draws_of_the_prior_follow_it(trees):
    """Kolmogorov-Smirnov at 1 in 10,000 for each of four scalars."""
    prior = trees["corrected"].prior
    for values in (prior["w"][0, :, 0], prior["w"][0, :, 1], prior["b"][0]):
        assert stats.kstest(values, "norm").pvalue > 1e-4
    assert stats.kstest(prior["sigma"][0], "halfnorm").pvalue > 1e-4


def test_chains_are_kept_as_chains(posteriors, trees):
    """R-hat and effective sample size come from ArviZ as they stand in the reasons, as far as thinning allows."""
    from arviz_stats import ess, rhat

    posterior, tree = posteriors["refined"], trees["refined"]
    found = posterior.refinement
    assert tree.posterior.sizes["chain"] == found.z.shape[0] == posterior.num_chains > 1
    assert posterior["w"].shape == (500, 2)
    assert tree.sample_stats["diverging"].dtype == bool
    # The reasons judge unconstrained latents; ranks do not see the difference, but for those of folded draws.
    worst = max(float(np.max(values)) for values in rhat(tree).data_vars.values())
    assert worst == pytest.approx(found.max_r_hat, abs=0.01)
    fewest = min(float(np.min(values)) for values in ess(tree).data_vars.values())
    assert fewest > 400.0
    assert np.isnan(rhat(trees["corrected"])["b"])  # nothing was run in chains


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # arviz-stats 0.8 under pandas 3.1
@pytest.mark.parametrize("which", ["corrected", "refined"])
def test_arviz_stats(trees, which):
    import arviz_stats as az

    tree = trees[which]
    assert list(az.summary(tree).index) == ["w[0]", "w[1]", "b", "sigma"]
    assert az.loo(tree).n_data_points == 40
    compared = az.compare({"ours": tree, "the other": trees["corrected"]})
    assert abs(compared["elpd"].iloc[0] - compared["elpd"].iloc[1]) < 0.5
    assert az.psense_summary(tree).shape == (4, 3)


def test_both_answers_agree(trees):
    """Means of two samplers of one posterior, each from some 400 effective draws: 5 standard errors."""
    for name in ("w", "b", "sigma"):
        one, other = (trees[which].posterior[name] for which in ("corrected", "refined"))
        gap = np.abs(one.mean(("chain", "draw")) - other.mean(("chain", "draw")))
        assert np.all(gap < 5.0 * np.sqrt(2.0 / 400.0) * one.std(("chain", "draw")))


@pytest.fixture(scope="module")
def plots():
    """arviz-plots, drawing into memory."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    if matplotlib.__version_info__ >= (3, 11):
        pytest.skip("arviz-plots 0.8 does not run with this matplotlib")
    found = pytest.importorskip("arviz_plots")
    yield found
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize("which", ["corrected", "refined"])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("plot_dist", {}),
        ("plot_forest", {}),
        ("plot_pair", {"var_names": ["w"]}),  # arviz-plots 0.8 pairs no scalar with a vector
        ("plot_ppc_dist", {}),
        ("plot_prior_posterior", {}),
        ("plot_bf", {"var_names": ["b"]}),
        ("plot_rank", {}),
    ],
)
def test_arviz_plots(plots, trees, which, function, options):
    made = getattr(plots, function)(trees[which], **options)
    assert type(made).__name__ in ("PlotCollection", "PlotMatrix")


@pytest.mark.parametrize("which", ["corrected", "refined"])
def test_figures_of_a_posterior(plots, posteriors, which, tmp_path):
    posterior = posteriors[which]
    forest = posterior.plot_forest(["w", "sigma"])
    assert set(forest.viz["point_estimate"].data_vars) == {"w[0]", "w[1]", "sigma"}
    matrix = posterior.plot_pair(["w[0]", "sigma"])
    matrix.savefig(tmp_path / "pair.png")
    posterior.plot_predictive(seed=1).savefig(tmp_path / "predictive.png")
    assert min((tmp_path / name).stat().st_size for name in ("pair.png", "predictive.png")) > 5_000
    with pytest.raises(InputError, match=r"no latent is called 'sigm'.*mean 'sigma'"):
        posterior.plot_forest(["sigm"])
    with pytest.raises(InputError, match="a pair takes two scalar latents"):
        posterior.plot_pair(["b"])


def test_the_command_writes_what_they_need_unless_told_otherwise(tmp_path, capsys):
    import arviz_stats as az

    from posterity.cli.app import main

    rows = table()
    lines = ["a,b,y", *(f"{a},{b},{y}" for (a, b), y in zip(rows["x"], rows["y"], strict=True))]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines))
    words = ["infer", "linear_regression", str(path), "--target", "y", "--refine", "0", "-o"]
    assert main([*words, str(tmp_path / "whole.nc")]) == main([*words, str(tmp_path / "slim.nc"), "--slim"]) == 0
    with xr.open_datatree(tmp_path / "whole.nc", engine="h5netcdf") as whole:
        assert set(COMPUTED) <= set(whole.children)
        assert az.loo(whole).n_data_points == 40
        assert_array_equal(whole.posterior["features"], ["a", "b"])
    with xr.open_datatree(tmp_path / "slim.nc", engine="h5netcdf") as slim:
        assert not set(COMPUTED) & set(slim.children) and "proposal" in slim.children


def test_a_file_that_would_grow_too_large_is_thinned_and_says_so(tmp_path, capsys, monkeypatch):
    from posterity.cli.app import main
    from posterity.results import arviz

    monkeypatch.setattr(arviz, "MAX_VALUES", 45_000)
    path = tmp_path / "rows.csv"
    rows = table(60)
    path.write_text("\n".join(["a,b,y", *(f"{a},{b},{y}" for (a, b), y in zip(rows["x"], rows["y"], strict=True))]))
    command = ["infer", "linear_regression", str(path), "--target", "y", "--refine", "0", "-o", str(tmp_path / "o.nc")]
    assert main(command) == 0
    assert "thinned to 750 draws" in capsys.readouterr().err
    with xr.open_datatree(tmp_path / "o.nc", engine="h5netcdf") as tree:
        assert tree.log_likelihood.sizes["draw"] == tree.posterior.sizes["draw"] == 750
        assert tree.prior_predictive.sizes["draw"] == tree.prior.sizes["draw"] == 750


def test_groups_that_do_not_exist_are_refused(posteriors):
    with pytest.raises(InputError, match=r"unknown group 'log_prio'.*Did you mean 'log_prior'"):
        posteriors["corrected"].to_arviz(groups=["log_prio"])
