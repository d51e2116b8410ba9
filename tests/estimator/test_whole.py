"""Models without exchangeable rows at the doors: answered as one observation, and told so."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from model.pieces import message
from model.whole_models import EFFECTS, ERRORS, SERIES, TIMES, WHOLE, lagged, schools, schools_of
from numpy.testing import assert_allclose
from scipy.stats import halfcauchy, multivariate_normal

import posterity
from posterity.runtime.errors import InputError, RowsError

LAGS = {"y": SERIES[2:], "before": SERIES[1:-1], "long_before": SERIES[:-2]}


@pytest.fixture(scope="module")
def of_schools():
    return posterity.infer(schools, {"sigma": ERRORS, "y": EFFECTS})


def test_eight_schools_are_answered_as_the_integral_over_their_spread_says(of_schools):
    """Given tau all is normal: y ~ N(0, 25 + diag(tau^2 + sigma^2)); tau is left to a grid."""
    assert of_schools.verdict == "corrected" and of_schools.num_rows == 1
    grid = np.exp(np.linspace(-6.0, 5.0, 2000))
    marginal = np.zeros_like(grid)
    means = np.zeros((len(grid), 2))  # of mu and mu^2
    for i, tau in enumerate(grid):
        variances = tau**2 + ERRORS**2
        covariance = 25.0 + np.diag(variances)
        marginal[i] = multivariate_normal(np.zeros(8), covariance).pdf(EFFECTS) * halfcauchy(scale=5.0).pdf(tau) * tau
        precision = 1.0 / 25.0 + np.sum(1.0 / variances)
        mean = np.sum(EFFECTS / variances) / precision
        means[i] = mean, mean**2 + 1.0 / precision
    weights = marginal / marginal.sum()
    mu, mu_sd = weights @ means[:, 0], np.sqrt(weights @ means[:, 1] - (weights @ means[:, 0]) ** 2)
    assert_allclose(of_schools["mu"].mean(), mu, atol=4.0 * mu_sd / np.sqrt(of_schools.ess))
    assert_allclose(of_schools["mu"].std(), mu_sd, rtol=0.1)
    median = grid[np.searchsorted(np.cumsum(weights), 0.5)]
    assert 0.45 < np.mean(of_schools["tau"] < median) < 0.55  # 3 standard errors
    evidence = np.log(marginal.sum() * np.diff(np.log(grid))[0])
    assert_allclose(of_schools.log_evidence.value, evidence, atol=4.0 * of_schools.log_evidence.standard_error + 0.01)


def test_a_size_among_the_arguments_makes_the_same_posterior(of_schools):
    of = posterity.infer(schools_of, {"J": 8, "sigma": ERRORS, "y": EFFECTS})
    assert_allclose(of["theta"], of_schools["theta"])
    assert list(of.labels["theta"]) == [f"theta[{i}]" for i in range(8)]


def test_what_is_read_by_rows_stays_so():
    """Lags as arguments: the same posterior as sliced inside, with rows to predict."""
    by_rows, (sliced, data) = posterity.infer(lagged, LAGS), WHOLE["sliced inside"]
    whole = posterity.infer(sliced, data)
    assert by_rows.num_rows == 28 and whole.num_rows == 1
    for site in ("mu", "phi", "sigma"):
        spread = by_rows[site].std(axis=0)
        assert np.all(np.abs(by_rows[site].mean(axis=0) - whole[site].mean(axis=0)) < 0.2 * spread)  # 5 errors
        assert_allclose(whole[site].std(axis=0), spread, rtol=0.15)
    assert by_rows.predict({"before": [0.5], "long_before": [0.1]}).mean.shape == (1,)


def test_a_factor_and_the_distribution_that_it_stands_for_agree():
    function, data = WHOLE["factor"]
    posterior = posterity.infer(function, data)
    precision = 1.0 + len(SERIES)
    assert posterior.verdict == "corrected"
    assert_allclose(posterior["mu"].mean(), SERIES.sum() / precision, atol=4.0 / np.sqrt(precision * 1000))
    assert_allclose(posterior["mu"].std(), precision**-0.5, rtol=0.1)
    assert posterior.observed == {} and list(posterior.covariates) == ["y"]


def test_a_marginal_gaussian_process_is_answered():
    function, data = WHOLE["marginal Gaussian process"]
    rng = np.random.default_rng(1)
    estimator = posterity.informed(function, like=data)
    noisy = [{"x": TIMES, "y": np.sin(TIMES) + 0.3 * rng.normal(size=40)} for _ in range(2)]
    for posterior in estimator.infer_each(noisy):
        assert posterior.verdict == "corrected"
        assert abs(posterior["noise"].mean() - 0.3) < 4.0 * posterior["noise"].std()


def flat_mean(y):
    mu = numpyro.sample("mu", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.sample("obs", dist.Normal(mu, 1.0), obs=y)


def test_a_flat_prior_gives_the_likelihood(tmp_path):
    posterior = posterity.infer(flat_mean, {"y": SERIES})
    assert posterior.verdict == "corrected" and posterior.num_rows == 30
    assert_allclose(posterior["mu"].mean(), SERIES.mean(), atol=4.0 / np.sqrt(30 * 1000))
    with pytest.raises(InputError, match="the prior of 'mu' is improper"):
        _ = posterior.log_evidence
    posterior.report(tmp_path / "flat.html")
    assert "prior-line" not in (tmp_path / "flat.html").read_text().split("</style>")[1].split("Each latent")[1]


# ---------------------------------------------------------------------------------------- what is told


def test_it_says_that_it_is_one_observation_and_why(of_schools, tmp_path):
    assert "one observation" in repr(of_schools) and "failed with twice the rows" in repr(of_schools)
    assert "failed with twice the rows" in repr(posterity.informed(schools, {"sigma": ERRORS, "y": EFFECTS}))
    of_schools.report(tmp_path / "schools.html")
    assert "counts as one observation" in (tmp_path / "schools.html").read_text()
    assert of_schools.summary()["latent"].to_list()[:3] == ["mu", "tau", "theta[0]"]
    tree = of_schools.to_arviz()
    assert tree["observed_data"]["y"].dims == ("J",) and tree["posterior"]["theta"].dims[-1] == "J"
    assert {"log_prior", "prior"} <= set(tree.children) and "log_likelihood" not in tree.children


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda p: p.predict({"sigma": [10.0]}), "predict: "),
        (lambda p: p.to_arviz(groups=["log_likelihood"]), "to_arviz(groups=['log_likelihood'])"),
        (lambda p: p.to_arviz(groups=["prior_predictive"]), "to_arviz(groups=['prior_predictive'])"),
    ],
)
def test_what_needs_rows_is_refused_by_name(of_schools, ask, what):
    with pytest.raises(InputError, match=message(f"{what}.*counts a whole dataset as one observation")):
        ask(of_schools)


def test_training_needs_rows():
    with pytest.raises(RowsError, match="Training simulates exchangeable rows"):
        posterity.build_simulator(schools, {"sigma": ERRORS, "y": EFFECTS})


def test_all_parameters_of_a_whole_are_its_scales():
    """A Gaussian process comes to one number for all its data, which is no row with a predictor."""
    function, data = WHOLE["marginal Gaussian process"]
    structure = posterity.informed(function, like=data).network.structure
    assert structure.scale_sites == ("length", "size", "noise")


def test_impossible_data_are_refused_by_the_sites_name():
    def gaps(y):
        rate = numpyro.sample("rate", dist.HalfNormal(1.0))
        numpyro.sample("obs", dist.Exponential(rate), obs=y[1:] - y[:-1])

    with pytest.raises(InputError, match="'obs' holds values that its likelihood cannot produce"):
        posterity.infer(gaps, {"y": np.array([1.0, 2.0, 1.5])})


def test_arguments_that_fit_no_reading_are_refused_as_rows():
    def regression(x, y):
        numpyro.sample("y", dist.Normal(numpyro.sample("w", dist.Normal(0.0, 1.0)) * x, 1.0), obs=y)

    with pytest.raises(InputError, match="all arguments must have one entry per row, but 'x' has 3, 'y' has 2"):
        posterity.infer(regression, {"x": np.ones(3), "y": np.ones(2)})


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (cube(x), x), lambda x, slope: (3.0 * x**2 * slope,))


def of_rows_without_forward_mode(x, y):
    numpyro.sample("y", dist.Normal(cube(numpyro.sample("w", dist.Normal(0.0, 1.0)) * x), 1.0), obs=y)


def of_rows_without_reverse_mode(x, y):
    w = numpyro.sample("w", dist.Beta(2.0, 2.0))
    small = jax.lax.while_loop(lambda at: jnp.max(at) > 0.1, lambda at: w * at, x)
    numpyro.sample("y", dist.Normal(small, 1.0), obs=y)


def outside_of_jax(x, y):
    w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    slope = jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), jnp.float32), w)
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        (of_rows_without_forward_mode, "derivatives in reverse mode only"),
        (of_rows_without_reverse_mode, "a loop without derivatives in reverse mode"),
        (outside_of_jax, "calls out of JAX"),
    ],
)
def test_rows_that_cannot_be_differentiated_are_refused_with_the_cure(function, pattern):
    with pytest.raises(InputError, match=pattern):
        posterity.infer(function, {"x": np.linspace(0.0, 1.0, 9), "y": np.ones(9)})


def test_what_no_reading_serves_is_told_twice():
    def moving(y):
        top = numpyro.sample("top", dist.HalfNormal(1.0))
        phi = numpyro.sample("phi", dist.Uniform(0.0, top))
        numpyro.sample("obs", dist.Normal(phi * y[:-1], 1.0), obs=y[1:])

    with pytest.raises(RowsError, match=message("none of the arguments.*support of latent site 'phi' depends on")):
        posterity.infer(moving, {"y": SERIES})


def test_evidence_compares_models_of_one_series():
    def white(y):
        sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
        numpyro.sample("obs", dist.Normal(0.0, sigma), obs=y[2:])

    function, data = WHOLE["sliced inside"]
    found = {"ar": posterity.infer(function, data), "white": posterity.infer(white, data)}
    table = posterity.compare(found)
    assert table["model"][0] == "white"  # the series is noise
    longer = posterity.infer(white, {"y": np.append(SERIES, 0.0)})
    with pytest.raises(InputError, match="belong to different data"):
        posterity.compare({"ar": found["ar"], "white": longer})
