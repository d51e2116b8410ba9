"""From tables to datasets of a model: z-scores, and models of one's own."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest

import posterity
from posterity import read_model
from posterity.estimator.infer import open_table
from posterity.estimator.signature import arguments_of_model
from posterity.runtime.errors import InputError
from posterity.tables import Recipe

FRAME = pl.DataFrame(
    {
        "age": [20.0, 30.0, 40.0, 55.0, 61.0],
        "group": [0, 1, 1, 0, 2],
        "income": [1.5, 2.5, 2.0, 4.0, 3.5],
        "visits": [1, 0, 3, 2, 5],
    }
)


def linear(x, y=None):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def data_first(outcome, design):
    """Both arguments are required: only the trace can tell which is data."""
    with numpyro.plate("features", design.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.sample("obs", dist.Poisson(jnp.exp(design @ w)), obs=outcome)


def by_name(age, group, income=None):
    with numpyro.plate("groups", 3):
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("income", dist.Normal(level[group] + slope * age, 1.0), obs=income)


def rows_only(x):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    numpyro.sample("x", dist.MultivariateNormal(mu, jnp.eye(x.shape[-1])), obs=x)


def one_column(visits):
    rate = numpyro.sample("rate", dist.Gamma(1.0, 1.0))
    numpyro.sample("visits", dist.Poisson(rate), obs=visits)


def two_designs(x, z, y=None):
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(a * x[:, 0] + z[:, 0], 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [
        (linear, "income", {"x": ("covariate", 1, "float32"), "y": ("data", 0, "float32")}),
        (data_first, "visits", {"outcome": ("data", 0, "int32"), "design": ("covariate", 1, "float32")}),
        (
            by_name,
            None,
            {
                "age": ("covariate", 0, "float32"),
                "group": ("covariate", 0, "int32"),
                "income": ("data", 0, "float32"),
            },
        ),
        (rows_only, None, {"x": ("data", 1, "float32")}),
        (one_column, None, {"visits": ("data", 0, "int32")}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_a_model_takes_is_found_out_from_a_table(model, target, expected):
    arguments = arguments_of_model(model, FRAME, target=target)
    assert {a.name: (a.role, len(a.shape), a.dtype) for a in arguments} == expected
    _, data = Recipe.fit(FRAME, arguments, target=target)
    example = {a.name: data.values[a.name].astype(a.dtype) for a in arguments}
    assert [a.role for a in read_model(model, example).arguments] == [a.role for a in arguments]


def test_a_column_named_like_the_matrix_does_not_confuse():
    arguments = arguments_of_model(linear, FRAME.rename({"age": "x"}), target="income")
    assert {a.name: len(a.shape) for a in arguments} == {"x": 1, "y": 0}


def test_what_cannot_be_told_is_refused():
    with pytest.raises(InputError, match="cannot tell which columns feed its arguments 'x', 'z', 'y'"):
        arguments_of_model(two_designs, FRAME, target="income")
    with pytest.raises(InputError, match=r"--target 'incom': no such column.*Did you mean 'income'"):
        arguments_of_model(linear, FRAME, target="incom")


def discrete(x, y=None):
    k = numpyro.sample("k", dist.Poisson(1.0))
    numpyro.sample("y", dist.Normal(k * x[:, 0], 1.0), obs=y)


def test_the_first_refusal_of_an_unsuitable_model_is_told():
    with pytest.raises(InputError, match="'k' is discrete"):
        arguments_of_model(discrete, FRAME, target="income")


@pytest.mark.parametrize("table", [(1, 2), {}, [], None, 3.5], ids=repr)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(InputError, match=rf"^table: got .*{type(table).__name__}; expected the path of a CSV"):
        posterity.infer("linear_regression", table, target="y")


def test_only_real_columns_are_z_scored():
    arguments = arguments_of_model(by_name, FRAME, target=None)
    recipe, data = Recipe.fit(FRAME, arguments, standardized=True)
    np.testing.assert_array_equal(data.values["group"], FRAME["group"].to_numpy())
    for name in ("age", "income"):
        assert data.values[name].mean() == pytest.approx(0.0, abs=1e-12)
        assert data.values[name].std() == pytest.approx(1.0)
    assert recipe.scaling is not None
    assert dict(zip(recipe.scaling.names, recipe.scaling.sds, strict=True))["group"] == 1.0
    assert recipe.scaling.target_mean == pytest.approx(FRAME["income"].mean())
    _, counted = Recipe.fit(FRAME, arguments_of_model(one_column, FRAME, target=None), standardized=True)
    np.testing.assert_array_equal(counted.values["visits"], FRAME["visits"].to_numpy())


def test_categories_that_nothing_takes_are_refused():
    arguments = arguments_of_model(by_name, FRAME, target=None)
    with pytest.raises(InputError, match="takes no such column"):
        Recipe.fit(FRAME, arguments, categorical=["visits"])


@pytest.mark.parametrize(
    ("model", "target", "options", "scaled"),
    [
        ("linear_regression", "income", {"prior_sd": 2.0}, True),
        ("gaussian_mean", None, {}, False),
        (linear, "income", {}, False),
    ],
    ids=["regression", "mean", "own"],
)
def test_which_models_are_defined_on_z_scores(model, target, options, scaled):
    """Whether the model is named, one's own, or inside an estimator that was made before."""
    question = open_table(model, FRAME, target=target, options=options)
    again = open_table(question.estimator, FRAME, target=target)
    for recipe in (question.recipe, again.recipe):
        assert (recipe.scaling is not None) == scaled
    x = question.datasets[None]["x"]
    assert (np.abs(x.mean(axis=0)).max() < 1e-9) == scaled
    for wanted in (False, True):
        asked = open_table(question.estimator, FRAME, target=target, standardize=wanted)
        assert (asked.recipe.scaling is not None) == wanted


def test_frames_of_pandas_are_tables_too():
    theirs = pd.DataFrame(FRAME.to_dict(as_series=False))
    settings = {"target": "income", "num_draws": 30, "refine_seconds": 0.0}
    found, expected = (posterity.infer("linear_regression_known_noise", t, **settings) for t in (theirs, FRAME))
    np.testing.assert_array_equal(found["w"], expected["w"])
    assert found.labels == expected.labels == {"w": ("w[age]", "w[group]", "w[visits]"), "b": ("b",)}
