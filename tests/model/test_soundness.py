"""Models that look fine until they run: checks by numbers, and plates that cannot vary."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from model.pieces import XY, X, Y, mean, message, observe, plated_weights
from numpy.testing import assert_array_equal

from posterity.model.intake import read_arrays
from posterity.model.read import read_model
from posterity.model.soundness import UnsupportedRowsError, check_at_rows, draw_from_rows, look_at_rows
from posterity.runtime.errors import InputError
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import build_simulator


def negative_scale(y):
    numpyro.sample("y", dist.Normal(0.0, numpyro.sample("s", dist.Normal(-9.0, 1.0))), obs=y)


def broken_gradient(y):
    mu = mean()
    observe(jnp.where(mu > 100.0, jnp.sqrt(mu - 100.0), 0.0), y)  # NaN times 0 in the backward pass


def centred_inside(x, y):
    observe((x - x.mean(0)) @ plated_weights(x), y)


def trend(y):
    observe(mean() * jnp.arange(y.shape[0]), y)


def moving_average(x, y):
    observe(mean() * jnp.cumsum(x[:, 0]), y)


def prior_from_covariates(x, y):
    observe(numpyro.sample("mu", dist.Normal(0.0, jnp.std(x))), y)


def prior_from_row_number(y):
    observe(numpyro.sample("mu", dist.Normal(0.0, 1.0 / y.shape[0])), y)


def prior_from_data(y):
    observe(numpyro.sample("mu", dist.Normal(jnp.mean(y), 10.0)), y)


def raw_data_as_covariate(x, y):
    """Simulation would draw x from zeros' likelihood: the value that `sample` returns must be used."""
    mu = mean()
    numpyro.sample("x", dist.Normal(mu, 1.0).expand([3]).to_event(1), obs=x)
    observe(x.sum(-1), y)


NUMERIC = {
    "not finite": (
        negative_scale,
        {"y": Y},
        "the log joint is not finite at a draw from its own prior; look at site 'y'",
    ),
    "gradient": (broken_gradient, {"y": Y}, "the gradient of its log joint is not finite"),
    "other rows": (centred_inside, XY, "at site 'y' a row's likelihood depends on the other rows.*x.mean(0)"),
    "place of a row": (trend, {"y": Y}, "at site 'y' a row's likelihood depends on.*its place among them"),
    "rows before": (moving_average, XY, "at site 'y' a row's likelihood depends on"),
    "prior from covariates": (prior_from_covariates, XY, "prior of latent site 'mu' depends on the rows"),
    "prior from row number": (
        prior_from_row_number,
        {"y": Y},
        "prior of latent site 'mu' depends on the rows",
    ),
    "prior from data": (
        prior_from_data,
        {"y": Y},
        "argument 'y' is data, but site 'mu' also uses its values besides obs=",
    ),
    "raw data": (
        raw_data_as_covariate,
        XY,
        "argument 'x' is data, but site 'y' also uses its values.*returns",
    ),
}


@pytest.mark.parametrize(("model", "example", "pattern"), NUMERIC.values(), ids=NUMERIC)
def test_refused_by_numbers(model, example, pattern):
    with pytest.raises(InputError, match=message(pattern)):
        build_simulator(model, example)
    read_model(model, example)  # nothing else is wrong with it


# ------------------------------------------------------------------------------------ variable plates


def scaled_by_size(x, y):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0 / jnp.sqrt(x.shape[-1])))
    observe(x @ w, y)


def softmax_weights(x, y):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    observe(x @ jnp.exp(w - jnp.log(jnp.sum(jnp.exp(w)))), y)


def data_outside_plate(x):
    with numpyro.plate("features", x.shape[-1]):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("x", dist.Normal(mu, 1.0), obs=x)


def event_outside_plate(x, y):
    plated_weights(x)
    v = numpyro.sample("v", dist.Normal(0.0, 1.0).expand([x.shape[-1]]).to_event(1))
    observe(x @ v, y)


def two_plates(x, y):
    w = plated_weights(x)
    with numpyro.plate("columns", x.shape[-1]):
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    observe(x @ (w * scale), y)


def components(y, num_components=2):
    with numpyro.plate("components", num_components):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(jnp.ones(num_components)), dist.Normal(mu, 1.0)), obs=y)


def doubled(x, y):
    with numpyro.plate("features", min(2 * x.shape[-1], x.shape[-1] + 3)):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    observe(x @ w[: x.shape[-1]], y)


def saturating(x, y):
    with numpyro.plate("features", min(x.shape[-1], 4)):
        w = numpyro.sample("w", dist.Normal(0.0, 1.0))
    observe(x[:, :1] @ w[:1], y)


def plain(x, y):
    w = plated_weights(x)
    with numpyro.plate("observations", x.shape[0]):
        observe(x @ w, y)


PLATES = {
    "size in the prior": (
        scaled_by_size,
        XY,
        "features",
        "plate 'features' cannot vary: with 1 of its 3.*site 'w'",
    ),
    "size in the likelihood": (
        softmax_weights,
        XY,
        "features",
        "site 'y' has log probability.*never existed",
    ),
    "data outside": (data_outside_plate, {"x": X}, "features", "site 'x' has log probability"),
    "latent outside": (
        event_outside_plate,
        XY,
        "features",
        "latent site 'v' grows with plate 'features' but lies outside",
    ),
    "two names": (
        two_plates,
        XY,
        "features",
        "plates 'features' and 'columns' both grow with 'x'. Use one plate name",
    ),
    "components": (
        components,
        {"y": Y},
        "components",
        "plate 'components' cannot vary, because no argument's shape sets",
    ),
    "other length": (
        doubled,
        XY,
        "features",
        "plate 'features' cannot vary, because no argument's shape sets its size",
    ),
    "saturates": (saturating, XY, "features", "plate 'features' has size 4 where the arguments reach 6"),
    "unknown": (
        plain,
        XY,
        "feature",
        "no plate 'feature' that could vary; its plates are: features. Did you mean 'features'",
    ),
    "rows": (plain, XY, "observations", "plate 'observations' holds the rows; their number varies as it is"),
}


@pytest.mark.parametrize(("model", "example", "plate", "pattern"), PLATES.values(), ids=PLATES)
def test_refused_as_variable(model, example, plate, pattern):
    high = 6 if plate == "features" and model is saturating else 3
    with pytest.raises(InputError, match=message(pattern)):
        build_simulator(model, example, Envelope((16, 32), {plate: (1, high)}), covariates="normal")
    read_model(model, example)  # with fixed plates nothing is wrong with it


def test_a_variable_plate_of_one_size_must_mask_as_well():
    """Smaller datasets are answered even where training had one size only."""
    with pytest.raises(InputError, match=message("with 2 of its 3 entries kept, site 'w'")):
        build_simulator(scaled_by_size, XY, Envelope((16, 32), {"features": (3, 3)}))


def test_a_model_that_fails_at_a_smaller_size():
    def at_least_two(x, y):
        if x.shape[-1] < 2:
            raise ValueError("needs two columns")
        observe(x @ plated_weights(x), y)

    with pytest.raises(InputError, match="with 1 entries the model fails: ValueError: needs two columns"):
        build_simulator(at_least_two, XY, Envelope((16, 32), {"features": (1, 3)}))


def test_fixed_sizes_are_told_from_variable_ones():
    """A plate of fixed size that happens to be one longer than the example's columns does not follow them."""

    def model(x, y):
        with numpyro.plate("knots", 4):
            v = numpyro.sample("v", dist.Normal(0.0, 1.0))
        observe(x @ plated_weights(x) + jnp.sum(v), y)

    served = read_model(model, XY, {"features": 3})
    assert [group.plates for group in served.axis_groups] == [("features",)]
    assert served.space.size == 7


# ---------------------------------------------------------------------------------- rows of one's own


def check_rows(model, example):
    """What an estimator that is not trained does with one dataset of the user's."""
    served = read_model(model, example)
    return check_at_rows(served, read_arrays(served, example))


@pytest.mark.parametrize("name", ["not finite", "gradient", "other rows", "prior from covariates", "raw data"])
def test_refused_by_numbers_with_the_users_rows(name):
    model, example, pattern = NUMERIC[name]
    with pytest.raises(InputError, match=message(pattern)):
        check_rows(model, example)


COUNTS = np.array([0, 3, 1, 7, 2, 0, 4])


def wide_poisson(x, y):
    """Rates overflow at nearly every draw of the prior, and at no data that anybody has."""
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 100.0))
    with numpyro.plate("features", x.shape[1]):
        w = numpyro.sample("w", dist.Normal(0.0, 100.0))
    numpyro.sample("y", dist.Poisson(jnp.exp(intercept + x @ w)), obs=y)


def test_wide_priors_alone_are_no_reason_to_refuse_rows():
    example = {"x": X, "y": COUNTS}
    dataset, z = check_rows(wide_poisson, example)
    assert_array_equal(dataset.values["x"], X)
    assert np.any(z != 0.0)  # pulled towards 0, not put there
    with pytest.raises(InputError, match="the log joint is not finite at a draw from its own prior"):
        build_simulator(wide_poisson, example)


def test_wide_priors_hide_no_unsound_model():
    def trending(x, y):
        w = numpyro.sample("w", dist.Normal(0.0, 100.0))
        numpyro.sample("y", dist.Poisson(jnp.exp(w * (x[:, 0] - jnp.mean(x[:, 0])))), obs=y)

    with pytest.raises(InputError, match="at site 'y' a row's likelihood depends on the other rows"):
        check_rows(trending, {"x": X, "y": COUNTS})


@pytest.mark.parametrize("look", [check_at_rows, look_at_rows])
def test_rows_that_the_model_cannot_produce_are_not_looked_at(look):
    served = read_model(wide_poisson, {"x": X, "y": COUNTS})
    arrays = {"x": X, "y": np.where(COUNTS == 7, -1, COUNTS).astype(np.int32)}
    with pytest.raises(UnsupportedRowsError):
        look(served, arrays)


@pytest.mark.parametrize(("have", "looked_at"), [(1, 4), (200, 16)])
def test_a_few_rows_are_looked_at(have, looked_at):
    """One row is repeated, since rows must be told apart from their number; of many only the first are taken."""
    x = np.arange(have, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    served = read_model(plain, XY)
    draw = jax.jit(draw_from_rows(served, {"x": x, "y": x[:, 0]}))
    dataset, z = draw(random.key(0), {})
    assert_array_equal(dataset.values["x"], x[np.arange(looked_at) % have])
    assert_array_equal(dataset.row_mask, np.ones(looked_at, bool))
    assert z.shape == (3,)
