"""A model that cannot serve is refused before any training, with the site's name and the cure."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from model.pieces import XY, X, Y, mean, message, observe, plated_weights
from numpyro import handlers
from numpyro.contrib.control_flow import cond, scan

from posterity.model.read import read_model
from posterity.runtime.errors import InputError

GROUP = np.array([0, 1, 2, 0, 1, 2, 0])

# ------------------------------------------------------------------------------------------- latents


def discrete_latent(y):
    k = numpyro.sample("k", dist.Categorical(probs=jnp.ones(3) / 3))
    observe(k, y)


def discrete_membership(y):
    mu = mean()
    with numpyro.plate("observations", y.shape[0]):
        z = numpyro.sample("z", dist.Bernoulli(0.5))
        observe(mu * z, y)


def no_latent(y):
    observe(0.0, y)


def pinned(y):
    observe(numpyro.sample("mu", dist.Delta(1.0)), y)


def optimised(y):
    observe(numpyro.param("theta", 0.0) + mean(), y)


def support_from_latent(y):
    top = numpyro.sample("top", dist.HalfNormal(1.0))
    observe(numpyro.sample("mu", dist.Uniform(0.0, top)), y)


def support_from_data(x, y):
    observe(numpyro.sample("mu", dist.Uniform(0.0, jnp.max(x))), y)


def partially_pooled(at_bats, hits=None):
    m, kappa = numpyro.sample("m", dist.Uniform(0, 1)), numpyro.sample("kappa", dist.Pareto(1, 1.5))
    with numpyro.plate("num_players", at_bats.shape[0]):
        phi = numpyro.sample("phi", dist.Beta(m * kappa, (1 - m) * kappa))
        numpyro.sample("obs", dist.Binomial(at_bats, probs=phi), obs=hits)


def one_site_per_row(y):
    offsets = jnp.stack([numpyro.sample(f"offset_{i}", dist.Normal(0.0, 1.0)) for i in range(y.shape[0])])
    observe(offsets, y)


# ---------------------------------------------------------------------------------- data and row axis


def observes_nothing(x):
    mean()


def transformed(y):
    numpyro.sample("y", dist.Normal(mean(), 1.0), obs=jnp.log(y))


def factor(y):
    mu = mean()
    observe(mu, y)
    numpyro.factor("penalty", -jnp.abs(mu))


def observed_twice(y):
    observe(mean(), y)
    numpyro.sample("again", dist.Normal(0.0, 1.0), obs=y)


def joint_over_rows(y):
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(y)), scale * jnp.eye(len(y))), obs=y)


def summed_over_rows(y):
    numpyro.sample("y", dist.Normal(mean(), 1.0).expand([len(y)]).to_event(1), obs=y)


def broadcast(x, y):
    w = numpyro.sample("w", dist.Normal(jnp.zeros((3, 1)), 1.0))
    observe(x @ w, y)  # (7, 1) against (7,)


def fixed_rows(y):
    with numpyro.plate("observations", 7):
        observe(mean(), y)


def masked(x, y):
    mu = mean()
    with handlers.mask(mask=x[:, 0] > 0):
        observe(mu, y)


def half_observed(x, y):
    numpyro.sample("y", dist.Normal(mean(), 1.0), obs=y, obs_mask=x[:, 0] > 0)


def tempered(y):
    mu = mean()
    with handlers.scale(scale=0.5):
        observe(mu, y)


def subsampled(y):
    mu = mean()
    with numpyro.plate("observations", y.shape[0], subsample_size=3):
        observe(mu, y)


def chain(y):
    def step(last, now):
        numpyro.sample("y", dist.Normal(last, 1.0), obs=now)
        return now, None

    scan(step, mean(), y)


def branches(y):
    mu = mean()
    cond(mu > 0, lambda m: numpyro.sample("a", dist.Normal(m, 1.0)), lambda m: m, mu)
    observe(mu, y)


# ------------------------------------------------------------------------------- values at trace time


def groups_by_unique(group, y):
    with numpyro.plate("groups", len(np.unique(group))):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
    observe(offset[group], y)


def groups_by_maximum(group, y):
    with numpyro.plate("groups", int(group.max()) + 1):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
    observe(offset[group], y)


def boolean_mask(x, y):
    numpyro.deterministic("kept", x[x[:, 0] > 0])
    observe(mean(), y)


def branch_on_data(x, y):
    mu = mean()
    observe(mu if x.sum() > 0 else -mu, y)


def python_range(group, y):
    observe(sum((mean() for _ in range(group[0])), 0.0), y)


def broken(y):
    raise KeyError("prior_scale")


def with_star(*data):
    pass


def with_kwargs(y, **options):
    pass


STATIC = {
    "discrete latent": (
        discrete_latent,
        {"y": Y},
        "latent site 'k' is discrete (Categorical).*marginalise it",
    ),
    "discrete membership": (discrete_membership, {"y": Y}, "latent site 'z' is discrete (Bernoulli"),
    "no latent": (no_latent, {"y": Y}, "no latent site: there is nothing to infer"),
    "delta": (pinned, {"y": Y}, "latent site 'mu' is a Delta.*numpyro.deterministic"),
    "param": (optimised, {"y": Y}, "'theta' is a param.*make it a sample with a prior"),
    "support from latent": (
        support_from_latent,
        {"y": Y},
        "support of latent site 'mu' depends on another latent.*t * u",
    ),
    "support from data": (support_from_data, XY, "support of latent site 'mu' depends on data"),
    "support from zeros": (
        support_from_data,
        {"x": 0 * X, "y": Y},
        "support of latent site 'mu' depends on data",
    ),
    "latents along rows": (
        partially_pooled,
        {"at_bats": 9 + GROUP, "hits": GROUP},
        "latent site 'phi' grows with the rows.*integrate it out",
    ),
    "a site per row": (one_site_per_row, {"y": Y}, "latent site 'offset_7' grows with the rows"),
    "nothing observed": (observes_nothing, {"x": X}, "observes nothing: no argument among x reaches obs="),
    "transformed data": (
        transformed,
        {"y": Y},
        "site 'y' observes a value that is none of the arguments y.*as given",
    ),
    "factor": (factor, {"y": Y}, "site 'penalty' is a numpyro.factor, which cannot be simulated"),
    "observed twice": (observed_twice, {"y": Y}, "argument 'y' is observed by several sites"),
    "joint over rows": (
        joint_over_rows,
        {"y": Y},
        "observed site 'y' has no row axis.*numpyro.plate('observations', n)",
    ),
    "summed over rows": (summed_over_rows, {"y": Y}, "observed site 'y' has no row axis"),
    "broadcast": (broadcast, XY, "observed site 'y' broadcasts.*(7, 1).*(7,).*make the two shapes agree"),
    "fixed rows": (
        fixed_rows,
        {"y": Y},
        "failed with twice the rows of the example.*from an argument's shape",
    ),
    "masked": (masked, XY, "site 'y' is masked.*leave the masked rows out"),
    "obs_mask": (half_observed, XY, "site 'y_observed' is masked"),
    "scaled": (tempered, {"y": Y}, "site 'y' is scaled (handlers.scale).*tempering into the distribution"),
    "scaled from outside": (handlers.scale(observe, 0.5), {"value": Y, "y": Y}, "site 'y' is scaled"),
    "subsampled": (subsampled, {"y": Y}, "plate 'observations' subsamples.*drop subsample_size"),
    "scan": (chain, {"y": Y}, "scan is not supported"),
    "cond": (branches, {"y": Y}, "cond is not supported"),
    "np.unique": (
        groups_by_unique,
        {"group": GROUP, "y": Y},
        "looks at the values of its arguments.*functools.partial",
    ),
    "int(max)": (groups_by_maximum, {"group": GROUP, "y": Y}, "looks at the values of its arguments"),
    "x[mask]": (boolean_mask, XY, "looks at the values of its arguments"),
    "if on data": (branch_on_data, XY, "looks at the values of its arguments"),
    "range(data)": (python_range, {"group": GROUP, "y": Y}, "looks at the values of its arguments"),
    "broken": (broken, {"y": Y}, "failed on the example dataset: KeyError: 'prior_scale'"),
    "*args": (with_star, {"data": Y}, "argument 'data' is variadic positional.*its own named argument"),
    "**kwargs": (with_kwargs, {"y": Y}, "argument 'options' is variadic keyword"),
}


@pytest.mark.parametrize(("model", "example", "pattern"), STATIC.values(), ids=STATIC)
def test_refused_before_anything_is_computed(model, example, pattern):
    with pytest.raises(InputError, match=message(pattern)) as error:
        read_model(model, example)
    assert "\n" not in str(error.value)
    assert "model '" in str(error.value)


# --------------------------------------------------------------------------------------- the example


def any_model(x, y=None, label="a", *, num_classes=2):
    observe(x @ plated_weights(x), y)


EXAMPLE = {
    "unknown name": ({"x": X, "why": Y}, "has no argument 'why'; it takes x, y"),
    "nearest name": ({"x": X, "labels": Y}, "Did you mean 'label'"),
    "missing": ({"y": Y}, "argument 'x' has no value in the example dataset"),
    "None": ({"x": None, "y": Y}, "argument 'x' has no value in the example dataset"),
    "empty": ({}, "argument 'x' has no value"),
    "int": (
        {"x": X, "y": Y, "num_classes": 3},
        "plain int; fix it beforehand: functools.partial(any_model, num_classes=3)",
    ),
    "str": (
        {"x": X, "y": Y, "label": "b"},
        "plain str; fix it beforehand: functools.partial(any_model, label='b')",
    ),
    "callable": ({"x": np.tanh, "y": Y}, "plain ufunc.*functools.partial(any_model, x=...)"),
    "strings": (
        {"x": X, "y": np.array(["a"] * 7)},
        "argument 'y' must be a numeric array; got ndarray with dtype <U1",
    ),
    "dict": ({"x": X, "y": {"a": Y}}, "argument 'y' must be a numeric array; got dict with dtype object"),
    "ragged": ({"x": [[1.0], [1.0, 2.0]], "y": Y}, "argument 'x' is not an array"),
    "scalar array": (
        {"x": X, "y": np.float32(1.0)},
        "argument 'y' is a scalar; data and covariates have rows first",
    ),
    "lengths": ({"x": X, "y": Y[:5]}, "'x' has 7, 'y' has 5; bind an array that has no rows"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, "has no rows"),
    "missing values": (
        {"x": X, "y": np.where(Y > 1, np.nan, Y) * np.nan},
        "'y' has missing or infinite values",
    ),
    "data left out": ({"x": X}, "The example leaves out y: give values to what is data"),
}


@pytest.mark.parametrize(("example", "pattern"), EXAMPLE.values(), ids=EXAMPLE)
def test_example_is_checked_first(example, pattern):
    with pytest.raises(InputError, match=message(pattern)):
        read_model(any_model, example)


def test_no_arguments():
    with pytest.raises(InputError, match="the example dataset is empty"):
        read_model(lambda y=None: observe(mean(), y), {})


def test_the_cure_for_unique_works():
    def model(group, y, num_groups):
        with numpyro.plate("groups", num_groups):
            offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
        observe(offset[group], y)

    cured = functools.partial(model, num_groups=3)
    served = read_model(cured, {"group": GROUP, "y": Y})
    assert served.name == "model" and served.space.size == 3


def test_support_that_data_share_with_a_latent_is_served():
    """y ~ Uniform(0, theta) is no reason to refuse the model, nor data beyond one theta."""

    def taxis(y):
        numpyro.sample("y", dist.Uniform(0.0, numpyro.sample("theta", dist.Pareto(1.0, 1.0))), obs=y)

    served = read_model(taxis, {"y": np.abs(Y)})
    assert [site.fixed_support for site in served.data_sites] == [False]


def test_a_model_that_is_compiled_already_is_named_as_such():
    """`jax.jit` hides the sites: it looked as if the data did not reach `obs=`."""

    def line(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(a * x, 1.0), obs=y)

    data = {"x": np.zeros(3), "y": np.zeros(3)}
    with pytest.raises(InputError, match=r"'line' is compiled by jax.jit"):
        read_model(jax.jit(line), data)
    with pytest.raises(InputError, match=r"what handlers.condition sets belongs in an argument"):
        read_model(handlers.condition(line, {"y": jnp.zeros(3)}), {"x": np.zeros(3)})
