"""Weighted moments and quantiles against NumPy, SciPy and themselves; their JSON, frames and text."""

import json

import numpy as np
import numpyro
import numpyro.distributions as dist
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from posterity import MODELS, InputError, read_model
from posterity.results.summary import summarise, summarise_posterior
from posterity.results.to_json import posterior_to_json
from posterity.tables import Recipe
from posterity.tables.scaling import regression_original_units

LEVELS = [0.05, 0.5, 0.95]


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def statistics(values, log_weights=None):
    """mean, sd, q05, q50, q95 of one scalar latent."""
    return np.array(list(summarise({"a": values}, {"a": ("a",)}, log_weights)["a"].values()))


@pytest.mark.parametrize("log_weights", [None, np.full(1000, -3.0)], ids=["none", "equal"])
def test_equal_weights_agree_with_numpy(log_weights, rng):
    values = rng.normal(size=1000)
    mean, sd, *quantiles = statistics(values, log_weights)
    assert_allclose((mean, sd), (values.mean(), values.std()), rtol=1e-12)
    assert_allclose(quantiles, np.quantile(values, LEVELS, method="hazen"), rtol=1e-10)
    # The default method counts from 0 to n - 1 where ours counts mid-steps: half a gap between draws at most.
    gap = np.diff(np.sort(values))[30:-30].max()
    assert_allclose(quantiles, np.quantile(values, LEVELS), atol=gap / 2)


def test_reweighted_draws_give_the_statistics_of_the_target(rng):
    """Draws of Normal(0.5, 1.3) weighted to Normal(0, 1): 5 standard errors, 1 false alarm in 300,000."""
    values = rng.normal(0.5, 1.3, 20_000)
    log_weights = stats.norm.logpdf(values) - stats.norm.logpdf(values, 0.5, 1.3)
    weights = np.exp(log_weights) / np.exp(log_weights).sum()
    quantiles = stats.norm.ppf(LEVELS)
    influence = [
        values,
        (values**2 - 1.0) / 2.0,
        *((p - (values <= q)) / stats.norm.pdf(q) for p, q in zip(LEVELS, quantiles, strict=True)),
    ]
    standard_errors = np.sqrt([np.sum((weights * each) ** 2) for each in influence])
    errors = statistics(values, log_weights) - np.array([0.0, 1.0, *quantiles])
    assert np.all(standard_errors < 0.03)
    assert np.all(np.abs(errors) < 5 * standard_errors)


def test_integer_weights_count_like_repeated_draws(rng):
    values = rng.normal(size=300)
    counts = rng.integers(1, 5, 300)
    weighted, repeated = statistics(values, np.log(counts)), statistics(np.repeat(values, counts))
    assert_allclose(weighted[:2], repeated[:2], rtol=1e-12)
    gap = np.diff(np.sort(values))[5:-5].max()
    assert_allclose(weighted[2:], repeated[2:], atol=gap)


def test_draws_of_weight_zero_count_for_nothing(rng):
    values = rng.normal(size=100)
    log_weights = rng.normal(size=100)
    outside = np.array([1e6, np.inf, np.nan, -1e6])
    padded = statistics(np.concatenate([outside, values]), np.concatenate([np.full(4, -np.inf), log_weights]))
    assert_allclose(padded, statistics(values, log_weights), rtol=1e-12)


def test_order_of_draws_and_scale_of_weights_do_not_matter(rng):
    values, log_weights = rng.normal(size=(2, 100))
    order = rng.permutation(100)
    expected = statistics(values, log_weights)
    assert_allclose(statistics(values[order], log_weights[order]), expected, rtol=1e-12)
    assert_allclose(statistics(values, log_weights - 1e4), expected, rtol=1e-9)


def test_one_draw():
    assert_allclose(statistics(np.array([2.5])), [2.5, 0.0, 2.5, 2.5, 2.5])


def test_a_draw_that_is_not_finite_makes_its_own_latent_nan_only(rng):
    draws = rng.normal(size=(50, 2))
    draws[3, 0] = np.inf
    summary = summarise({"w": draws}, {"w": ("w[0]", "w[1]")})
    assert np.isnan(list(summary["w[0]"].values())).all()
    assert np.isfinite(list(summary["w[1]"].values())).all()


def test_labels_follow_c_order_and_sites_their_own(rng):
    draws = {"m": rng.normal(size=(20, 2, 3)), "empty": np.zeros((20, 0)), "s": rng.normal(size=20)}
    labels = {"m": tuple(f"m[{i},{j}]" for i in range(2) for j in range(3)), "empty": (), "s": ("s",)}
    summary = summarise(draws, labels)
    assert list(summary) == [*labels["m"], "s"]
    assert_allclose(summary["m[1,0]"]["mean"], draws["m"][:, 1, 0].mean())


def test_labels_that_do_not_fit_are_refused(rng):
    with pytest.raises(ValueError, match="zip"):
        summarise({"w": rng.normal(size=(20, 3))}, {"w": ("w[0]", "w[1]")})


def test_only_a_corrected_posterior_is_weighted(make_posterior, posterior, refined):
    assert posterior.verdict == "corrected"
    weighted = summarise(posterior.proposed, posterior.labels, posterior.weights.log_weights)
    plain = summarise(posterior.proposed, posterior.labels)
    assert weighted["sigma"]["mean"] != plain["sigma"]["mean"]
    assert summarise_posterior(posterior) == weighted
    assert summarise_posterior(make_posterior(verdict="untrusted")) == plain
    assert summarise_posterior(refined) == summarise(refined.refined, refined.labels) != plain


def test_json_has_the_keys_of_the_contract(make_posterior):
    posterior = make_posterior(name="store 4")
    entry = json.loads(json.dumps(posterior_to_json(posterior), allow_nan=False))
    assert list(entry) == ["name", "num_rows", "verdict", "pareto_k", "ess", "reasons", "latents", "log_evidence"]
    assert entry["name"] == "store 4"
    assert entry["num_rows"] == posterior.num_rows
    assert entry["verdict"] == "corrected"
    assert entry["pareto_k"] == posterior.weights.pareto_k
    assert entry["reasons"] == []
    assert list(entry["latents"]) == ["w[bmi]", "w[age [years]]", "w[bp]", "b", "sigma"]
    assert list(entry["latents"]["sigma"]) == ["mean", "sd", "q05", "q50", "q95"]
    assert entry["latents"] == summarise_posterior(posterior)


@pytest.fixture(scope="module")
def from_a_table(make_posterior):
    """Two columns of a table, its target far from zero and wide."""
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"age": rng.normal(40, 9, 12), "bmi": rng.normal(25, 3, 12), "y": rng.normal(500, 20, 12)})
    model = MODELS["linear_regression"].read(2)
    recipe, table = Recipe.fit(frame, model.arguments, target="y", standardized=True)
    draws = dict(make_posterior().proposed)
    proposed = {**draws, "w": draws["w"][:, :2]}
    return make_posterior(
        model=model, data=table.values, proposed=proposed, columns=recipe.columns_of, recipe=recipe, is_linear=True
    )


def test_json_carries_the_units_of_the_table_beside_the_latents(from_a_table, make_posterior):
    entry = json.loads(json.dumps(posterior_to_json(from_a_table), allow_nan=False))
    in_units = regression_original_units(from_a_table.recipe.scaling, from_a_table.proposed)
    expected = summarise(in_units, from_a_table.labels, from_a_table.weights.log_weights)
    assert entry["table_units"] == expected and list(expected) == ["w[age]", "w[bmi]", "b", "sigma"]
    spoilt = {**from_a_table.proposed, "b": np.full(200, np.nan)}
    entry = posterior_to_json(
        make_posterior(
            model=from_a_table.model, data=from_a_table.data, proposed=spoilt,
            columns=from_a_table.columns, recipe=from_a_table.recipe, is_linear=True,
        )
    )  # fmt: skip
    assert entry["table_units"]["b"]["mean"] is None


def test_summary_in_either_unit(from_a_table, posterior):
    plain, table = from_a_table.summary(), from_a_table.summary(units="table")
    assert plain.columns == table.columns == ["latent", "mean", "sd", "q05", "q50", "q95"]
    assert plain["latent"].to_list() == table["latent"].to_list() == ["w[age]", "w[bmi]", "b", "sigma"]
    scaling = from_a_table.recipe.scaling
    assert_allclose(table["mean"][:2], plain["mean"][:2].to_numpy() * scaling.target_sd / scaling.sds)
    assert_allclose(table["sd"][3], plain["sd"][3] * scaling.target_sd)
    assert abs(table["mean"][2] - plain["mean"][2]) > 100.0  # the intercept stands where the target does
    with pytest.raises(InputError, match="units must be 'model' or 'table'; got 'original'"):
        from_a_table.summary(units="original")
    with pytest.raises(InputError, match="no way back from z-scores"):
        posterior.summary(units="table")


@pytest.mark.parametrize("log_joint", [np.full(200, np.nan), np.full(200, -np.inf), np.full(200, np.inf)])
def test_json_of_a_spoilt_posterior_has_nulls_and_reasons(log_joint, make_posterior):
    spoilt = make_posterior(log_joint=log_joint, proposed={"b": np.full(200, np.nan)})
    entry = json.loads(json.dumps(posterior_to_json(spoilt), allow_nan=False))
    assert entry["verdict"] == "untrusted"
    assert entry["pareto_k"] is None
    assert entry["ess"] == 0.0
    assert len(entry["reasons"]) == 1
    assert entry["latents"]["b"]["mean"] is None


def many(y):
    theta = numpyro.sample("theta", dist.Normal(0.0, 1.0).expand([2900]).to_event(1))
    numpyro.sample("y", dist.Normal(theta[0], 1.0), obs=y)


def test_text_is_short_however_many_latents_there_are(make_posterior):
    draws = np.random.default_rng(0).normal(3.0, 0.1, (50, 2900)).astype(np.float32)
    data = {"y": np.zeros(12, np.float32)}
    reasons = tuple(f"Reason {i}: " + "word " * 60 for i in range(5))
    lines = repr(
        make_posterior(50, model=read_model(many, data), data=data, proposed={"theta": draws}, columns={}, name="store",
                       reasons=reasons)
    ).splitlines()  # fmt: skip
    assert lines[0].startswith("Posterior 'store' of many, 12 rows: corrected (50 draws; ESS ")
    assert len(lines) < 20 and max(map(len, lines)) < 140
    assert lines[4] == "  ... 2 more reasons" and lines[-1] == "  ... 2892 more latents"
    assert lines[5].split()[0] == "theta[0]" and lines[5].split()[1].startswith(("2.9", "3.0"))
