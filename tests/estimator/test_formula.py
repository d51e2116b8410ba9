"""Formulas end to end: programs against hand-written models and SciPy, their posteriors, and the classic tables."""

import contextlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest
from formula_cases import BY_FAMILY, CLASSICS, classic, plants
from numpy.testing import assert_allclose, assert_array_equal
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy import special, stats

import posterity
from posterity.model.fingerprint import fingerprint
from posterity.model.formula import RESPONSE_FAMILIES
from posterity.runtime.errors import InputError

pytest.importorskip("formulaic")


def prior_draw(formula, seed=0):
    """Latents of one draw from the prior of a program."""
    trace = handlers.trace(handlers.seed(formula.model, seed)).get_trace(**arrays(formula))
    return {name: s["value"] for name, s in trace.items() if s["type"] == "sample" and not s["is_observed"]}


def arrays(formula):
    return {name: jnp.asarray(a, jnp.int32 if a.dtype.kind == "i" else jnp.float32) for name, a in formula.data.items()}


def log_joint(model, data, latents):
    return float(log_density(model, (), data, latents)[0])


def by_family(family, right="rain + (1 | plot)", **settings):
    return posterity.from_formula(f"{BY_FAMILY[family]} ~ {right}", plants(), family=family, **settings)


# --- The program ---


def random_intercepts(x, plot, y, num_plots):
    """`height ~ rain + soil + (1 | plot)`, by hand."""
    a = numpyro.sample("Intercept", dist.Normal(0, 2.5))
    b = numpyro.sample("b", dist.Normal(0, 2.5).expand([x.shape[1]]))
    tau = numpyro.sample("sd_plot", dist.HalfNormal(1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    u = numpyro.sample("u_plot", dist.Normal(0, tau).expand([num_plots]))
    numpyro.sample("y", dist.Normal(a + x @ b + u[plot], sigma), obs=y)


def test_random_intercepts_are_those_of_a_program_written_by_hand():
    formula = by_family("normal", "rain + soil + (1 | plot)")
    frame = plants()
    x = np.stack([frame["rain"], frame["soil"] == "loam", frame["soil"] == "sand"], axis=1).astype(float)
    x = (x - x.mean(axis=0)) / np.where([True, False, False], x.std(axis=0), 1.0)
    y = frame["height"].to_numpy()
    data = {"x": x, "plot": frame["plot"].str.slice(1).cast(pl.Int64).to_numpy(), "y": (y - y.mean()) / y.std()}
    own = {name: jnp.asarray(a, jnp.int32 if a.dtype.kind == "i" else jnp.float32) for name, a in data.items()}
    for seed in range(3):
        latents = prior_draw(formula, seed)
        expected = log_joint(random_intercepts, own | {"num_plots": 6}, latents)
        assert log_joint(formula.model, arrays(formula), latents) == pytest.approx(expected, rel=1e-5)


def correlated_slopes(x, plot, z, y):
    a = numpyro.sample("Intercept", dist.Normal(0, 2.5))
    b = numpyro.sample("b", dist.Normal(0, 2.5).expand([1]))
    tau = numpyro.sample("sd_plot", dist.HalfNormal(1.0).expand([2]))
    factor = numpyro.sample("L_plot", dist.LKJCholesky(2, 2.0))
    covariance = jnp.diag(tau) @ factor @ factor.T @ jnp.diag(tau)
    u = numpyro.sample("u_plot", dist.MultivariateNormal(jnp.zeros(2), covariance).expand([6]))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(a + b[0] * x[:, 0] + u[plot, 0] + u[plot, 1] * z, sigma), obs=y)


def test_correlated_slopes_are_those_of_a_program_written_by_hand():
    formula = by_family("normal", "rain + (1 + rain | plot)")
    data = arrays(formula)
    z = jnp.asarray(plants()["rain"] / plants()["rain"].std(ddof=0), jnp.float32)
    own = {"x": data["x"], "plot": data["plot"], "z": z, "y": data["y"]}
    latents = prior_draw(formula)
    assert log_joint(formula.model, data, latents) == pytest.approx(
        log_joint(correlated_slopes, own, latents), rel=1e-4
    )


LIKELIHOODS = {
    "normal": lambda d, eta, p: stats.norm.logpdf(d["y"], eta, p["sigma"]),
    "student_t": lambda d, eta, p: stats.t.logpdf(d["y"], p["nu"], eta, p["sigma"]),
    "bernoulli": lambda d, eta, p: stats.bernoulli.logpmf(d["y"], special.expit(eta)),
    "binomial": lambda d, eta, p: stats.binom.logpmf(d["y"], d["trials"], special.expit(eta)),
    "poisson": lambda d, eta, p: stats.poisson.logpmf(d["y"], np.exp(eta)),
    "negative_binomial": lambda d, eta, p: stats.nbinom.logpmf(
        d["y"], p["concentration"], p["concentration"] / (p["concentration"] + np.exp(eta))
    ),
    "gamma": lambda d, eta, p: stats.gamma.logpdf(d["y"], p["shape"], scale=np.exp(eta) / p["shape"]),
    "beta": lambda d, eta, p: stats.beta.logpdf(
        d["y"], p["precision"] * special.expit(eta), p["precision"] * special.expit(-eta)
    ),
    "ordinal": lambda d, eta, p: np.log(
        special.expit(np.append(p["cutpoints"], np.inf)[d["y"]] - eta)
        - special.expit(np.append(-np.inf, p["cutpoints"])[d["y"]] - eta)
    ),
    "categorical": lambda d, eta, p: special.log_softmax(np.pad(eta, ((0, 0), (1, 0))), axis=1)[
        np.arange(len(d["y"])), d["y"]
    ],
}


@pytest.mark.parametrize("family", RESPONSE_FAMILIES)
def test_the_likelihood_of_each_family_is_scipys(family):
    formula = by_family(family)
    latents = {name: np.asarray(value, float) for name, value in prior_draw(formula).items()}
    latents |= {name: 0.3 * latents[name] for name in ("Intercept", "b", "u_plot") if name in latents}  # not the tails
    data = formula.data
    eta = latents.get("Intercept", 0.0) + data["x"] @ latents["b"] + latents["u_plot"][data["plot"]]
    _, trace = log_density(formula.model, (), arrays(formula), {n: jnp.asarray(v) for n, v in latents.items()})
    site = trace["y"]
    assert_allclose(site["fn"].log_prob(site["value"]), LIKELIHOODS[family](data, eta, latents), rtol=2e-3, atol=2e-3)
    assert formula.data["y"].dtype.kind == ("f" if family in ("normal", "student_t", "gamma", "beta") else "i")


def test_weights_divide_the_dispersion():
    settings = {"weights": "area"}
    for family, scale in (("normal", "sigma"), ("student_t", "sigma"), ("gamma", "shape")):
        formula = by_family(family, **settings)
        latents = prior_draw(formula)
        _, trace = log_density(formula.model, (), arrays(formula), latents)
        fn, area = trace["y"]["fn"], plants()["area"].to_numpy()
        if family == "gamma":
            assert_allclose(fn.concentration, latents[scale] * area, rtol=1e-5)
        else:
            assert_allclose(fn.scale, latents[scale] / np.sqrt(area), rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "right"),
    [
        ("normal", "1"),
        ("normal", "0 + rain + (0 + rain | plot)"),
        ("normal", "rain*soil + (1 + rain + area | plot) + (1 | bed)"),
        ("student_t", "rain + (rain || plot)"),
        ("poisson", "rain + offset(log(area)) + (1 | plot/bed)"),
        ("ordinal", "1"),
        ("ordinal", "(rain | plot)"),
        ("categorical", "1"),
        ("categorical", "rain + (1 + rain || plot)"),
    ],
)
def test_the_printed_program_is_the_one_that_runs(family, right):
    formula = by_family(family, right)
    namespace = {}
    exec(str(formula), namespace)
    latents = prior_draw(formula)
    own = log_joint(formula.model, arrays(formula), latents)
    assert np.isfinite(own)
    assert log_joint(namespace["model"], arrays(formula), latents) == own
    assert all(len(line) <= 120 for line in str(formula).splitlines() if not line.startswith("#"))


def test_the_same_formula_is_the_same_program_twice():
    first, again, other = by_family("normal"), by_family("normal"), by_family("normal", "rain + (1 | bed)")
    assert fingerprint(first.model) == fingerprint(again.model) != fingerprint(other.model)
    assert first.model.__name__ == "height ~ rain + (1 | plot)"


def test_priors_stand_in_the_program():
    formula = by_family("normal", priors={"sd": "HalfCauchy(0.5)", "b": "StudentT(4, 0, 1)"})
    assert 'numpyro.sample("sd_plot", dist.HalfCauchy(0.5))' in str(formula)
    assert 'numpyro.sample("b", dist.StudentT(4.0, 0.0, 1.0))' in str(formula)
    assert formula.priors["sd_plot"] == "HalfCauchy(0.5)" and formula.priors["sigma"] == "HalfNormal(1.0)"


def test_entries_have_priors_of_their_own_in_the_program():
    priors = {"b[soil[T.loam]]": "Normal(1, 0.5)", "sd_plot[rain]": "HalfNormal(0.2)"}
    formula = by_family("normal", "rain + soil + (rain | plot)", priors=priors)
    latents = prior_draw(formula)
    _, trace = log_density(formula.model, (), arrays(formula), latents)
    b, sd = np.asarray(latents["b"]), np.asarray(latents["sd_plot"])
    expected = stats.norm.logpdf(b, [0.0, 1.0, 0.0], [2.5, 0.5, 2.5])
    assert_allclose(trace["b"]["fn"].log_prob(b), expected, rtol=1e-4)
    expected = stats.halfnorm.logpdf(sd, scale=[1.0, 0.2]).sum()
    assert float(trace["sd_plot"]["fn"].log_prob(sd)) == pytest.approx(expected, rel=1e-4)
    by_class = by_family("categorical", "rain + soil", priors={"b[rain]": "Normal(0, 0.1)"})
    latents = prior_draw(by_class)
    _, trace = log_density(by_class.model, (), arrays(by_class), latents)
    b = np.asarray(latents["b"])
    assert_allclose(trace["b"]["fn"].log_prob(b), stats.norm.logpdf(b, 0.0, [[0.1], [2.5], [2.5]]), rtol=1e-3)


def test_the_intercept_of_a_log_link_starts_at_the_mean():
    frame = plants().with_columns(leaves=1000 * pl.col("leaves") + 1)
    formula = posterity.from_formula("leaves ~ rain + offset(log(area))", frame, family="poisson")
    expected = np.log(frame["leaves"].mean() / frame["area"].mean())
    assert formula.priors["Intercept"] == f"Normal({expected:.2f}, 2.5)".replace("Normal(9.00", "Normal(9.0")


def test_cutpoints_start_at_equal_shares():
    formula = by_family("ordinal", "rain", priors={"cutpoints": "Normal(-1, 2)", "gaps": "LogNormal(0.5, 0.7)"})
    assert "dist.Normal(jnp.append(-1.0, jnp.full(2, 0.5)), jnp.append(2.0, jnp.full(2, 0.7)))" in str(formula)
    base = np.array(prior_draw(formula)["cutpoints"])
    expected = stats.norm.logpdf(base[0], -1, 2) + stats.lognorm.logpdf(np.diff(base), 0.7, scale=np.exp(0.5)).sum()
    _, trace = log_density(formula.model, (), arrays(formula), prior_draw(formula))
    assert float(trace["cutpoints"]["fn"].log_prob(base)) == pytest.approx(expected, rel=1e-3)
    usual = by_family("ordinal", "rain").priors
    assert usual == {"cutpoints": "Normal(-1.1, 2.5)", "gaps": "LogNormal(0.09, 1.0)", "b": "Normal(0.0, 2.5)"}


def test_columns_and_levels_have_their_names():
    formula = by_family("normal", "rain + soil + (1 | plot/bed)")
    assert formula.columns == ("rain", "soil[T.loam]", "soil[T.sand]")
    assert formula.levels["plot"] == ("p0", "p1", "p2", "p3", "p4", "p5")
    assert formula.levels["plot:bed"][:2] == ("p0:b0", "p0:b1")


def test_tables_of_any_kind_are_taken(tmp_path):
    frame = plants()
    frame.write_csv(tmp_path / "plants.csv")
    columns = frame.to_dict(as_series=False)
    expected = by_family("normal").data
    for table in (tmp_path / "plants.csv", pd.DataFrame(columns), columns):
        found = posterity.from_formula("height ~ rain + (1 | plot)", table).data
        for name, array in expected.items():
            assert_allclose(found[name], array)


def test_the_documentation_tells_the_program_and_the_priors():
    page = (Path(__file__).parents[2] / "docs" / "formulas.md").read_text()
    formula = posterity.from_formula("Reaction ~ Days + (Days | Subject)", classic("sleepstudy.csv"))
    assert str(formula)[str(formula).index("# Reaction") :].strip() in page
    for family in RESPONSE_FAMILIES.values():
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{family.name}` |"))
        assert all(f"`{latent}`" in line and f"`{prior}`" in line for latent, prior in family.own.items())
        assert f"`{family.sd}`" in page


def test_a_dict_of_columns_may_have_missing_cells_but_not_missing_rows():
    columns = {"y": [1.0, 2.5, None, 4.0], "x": np.arange(4), "g": ["a", "b", "a", "b"]}
    formula = posterity.from_formula("y ~ x + (1 | g)", columns, drop_missing=True)
    assert formula.table.dropped_rows == 1 and len(formula.data["y"]) == 3
    with pytest.raises(InputError, match="the dict of columns is no table"):
        posterity.from_formula("y ~ x", columns | {"x": np.arange(5)})


def test_a_formula_is_text(no_shape_checks):
    with pytest.raises(InputError, match="the formula must be text"):
        posterity.from_formula(3, plants())


# --- Posteriors ---


def test_a_fixed_part_alone_is_a_linear_regression_in_the_units_of_the_table():
    """Against least squares: priors of 2.5 sds move little."""
    posterior = posterity.infer("height ~ rain + soil", plants())
    assert posterior.verdict == "corrected"
    summary = {line["latent"]: line for line in posterior.summary().to_dicts()}
    assert list(summary) == ["Intercept", "rain", "soil[T.loam]", "soil[T.sand]", "sigma"]
    frame = plants()
    x = np.stack([np.ones(48), frame["rain"], frame["soil"] == "loam", frame["soil"] == "sand"], axis=1).astype(float)
    best, *_ = np.linalg.lstsq(x, frame["height"].to_numpy(), rcond=None)
    for place, name in enumerate(["Intercept", "rain", "soil[T.loam]", "soil[T.sand]"]):
        assert abs(summary[name]["mean"] - best[place]) < 0.2 * summary[name]["sd"]
    assert posterior["b"].shape == (posterior.num_draws, 3)
    assert posterior.summary(units="model")["latent"].to_list()[1] == "b[rain]"
    assert "rain" in repr(posterior) and "height ~ rain + soil" in repr(posterior)


def test_predictions_are_in_the_units_of_the_table():
    posterior = posterity.infer("height ~ rain", plants())
    new = plants()[:4].drop("height")
    summary = {line["latent"]: line["mean"] for line in posterior.summary().to_dicts()}
    line = summary["Intercept"] + summary["rain"] * new["rain"].to_numpy()
    assert_allclose(posterior.predict(new).to_frame()["mean"], line, atol=1.0)


def test_groups_of_rows_are_answered_by_themselves():
    found = posterity.infer("alive ~ rain", plants(), family="bernoulli", group="soil")
    assert set(found) == {"clay", "loam", "sand"}
    assert set(found.summary()["latent"]) == {"Intercept", "rain"}


def test_effects_by_group_have_labels_of_their_levels():
    """One scale latent, so that the answer does not wait for chains."""
    frame = plants().with_columns(won=(pl.col("alive") == "yes").cast(pl.Int64))
    posterior = posterity.infer("won ~ rain + (1 | plot)", frame, family="bernoulli", refine_seconds=0)
    labels = posterior.summary()["latent"].to_list()
    assert labels == ["Intercept", "rain", "sd_plot[Intercept]", *(f"plot[p{i}, Intercept]" for i in range(6))]
    assert posterior.labels["u_plot"][:2] == ("u_plot[p0]", "u_plot[p1]")
    tree = posterior.to_arviz(num_draws=20)
    assert_array_equal(tree["posterior"]["plot"], [f"p{i}" for i in range(6)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "height"}, "'target' is not for formulas: the response stands left"),
        ({"standardize": True}, "'standardize' is not for formulas"),
        ({"options": {"prior_sd": 2.0}}, "'options' is not for formulas"),
        ({"family": "gauss"}, "unknown family 'gauss'. Known: 'bernoulli'"),
        ({"group": "height"}, "--group 'height' is the target or"),
    ],
)
def test_options_that_do_not_go_with_a_formula_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        posterity.infer("height ~ rain", plants(), **settings)


def test_options_of_formulas_are_for_formulas():
    with pytest.raises(InputError, match="'family' is for formulas such as"):
        posterity.infer("linear_regression", plants().select("rain", "height"), target="height", family="normal")
    with pytest.raises(InputError, match="'priors' is for formulas such as"):
        posterity.infer("linear_regression", {"x": np.ones((3, 1)), "y": np.ones(3)}, priors={"b": "Normal(0, 1)"})


# --- The classic tables ---


@pytest.mark.parametrize("name", CLASSICS)
def test_classic_tables_build_and_have_a_finite_log_joint(name):
    text, family = CLASSICS[name]
    formula = posterity.from_formula(text, classic(name), family=family)
    rows = pl.read_csv(classic(name), infer_schema_length=None).height
    assert {len(array) for array in formula.data.values()} == {rows}
    latents = prior_draw(formula)
    # Draws of a wide prior may lie where float32 ends: near the centre everything has to be finite.
    near = {n: v if n.startswith(("L_", "sd_")) or n == "sigma" else 0.05 * v for n, v in latents.items()}
    value, gradient = jax.value_and_grad(
        lambda at: (
            log_density(formula.model, (), arrays(formula), near | {"b": at, "Intercept": near["Intercept"]})[0]
            if formula.columns
            else log_density(formula.model, (), arrays(formula), near | {"Intercept": at})[0]
        )
    )(near["b"] if formula.columns else near["Intercept"])
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_sleepstudy_is_read_as_a_model():
    text, _ = CLASSICS["sleepstudy.csv"]
    formula = posterity.from_formula(text, classic("sleepstudy.csv"))
    model = posterity.read_model(formula.model, formula.data)
    assert {a.name: a.num_entries for a in model.arguments if a.is_index} == {"Subject": 18}
    assert model.space.size == 1 + 1 + 2 + 1 + 36 + 1
    assert {site.name: site.plates for site in model.space.sites}["u_Subject"] == ("Subject",)


@pytest.mark.slow
def test_sleepstudy_agrees_with_what_is_published():
    """REML estimates of lme4's own documentation, each within 0.7 posterior sds of the mean (sds are skewed)."""
    text, _ = CLASSICS["sleepstudy.csv"]
    posterior = posterity.infer(text, classic("sleepstudy.csv"))
    assert posterior.verdict in ("corrected", "refined")
    published = {
        "Intercept": 251.405,
        "Days": 10.467,
        "sd_Subject[Intercept]": 24.741,
        "sd_Subject[Days]": 5.922,
        "cor_Subject[Intercept, Days]": 0.066,
        "sigma": 25.592,
        "Subject[308, Days]": 9.199,
    }
    summary = {line["latent"]: line for line in posterior.summary().to_dicts()}
    for latent, value in published.items():
        assert abs(summary[latent]["mean"] - value) < 0.7 * summary[latent]["sd"], latent


@pytest.mark.parametrize("end", ["\n", "\r", "\x0c\n", "\u2028", '"""\n', "'\n", ")\n", "#\n"], ids=ascii)
@pytest.mark.parametrize("formula", ["y ~ `{}`", "y ~ x + `{}`", "y ~ x + (1 | `{}`)", "y ~ x + (`{}` | g)"])
def test_nothing_of_a_table_is_run(tmp_path, end, formula):
    """A program is text that is run: a header or a level that ends a comment must not begin a statement."""
    touched = tmp_path / "touched"
    statement = f"x{end}import pathlib; pathlib.Path({str(touched)!r}).touch()\n#"
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=30), "g": [statement, "b", "c"] * 10, "y": rng.normal(size=30)}
    columns[statement] = rng.integers(0, 3, 30) if "| `" in formula else rng.normal(size=30)
    with contextlib.suppress(InputError):
        posterity.from_formula(formula.format(statement), pl.DataFrame(columns))
    posterity.from_formula("y ~ x + (1 | g)", pl.DataFrame({name: columns[name] for name in "xgy"}))
    assert not touched.exists()
