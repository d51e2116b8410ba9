"""Models without exchangeable rows: what a dataset as one observation means, and what stays refused."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from jax.experimental.ode import odeint
from model.pieces import message
from model.whole_models import EFFECTS, ERRORS, SERIES, WHOLE, schools, schools_of, sliced
from numpy.testing import assert_allclose
from numpyro.infer.util import potential_energy

from posterity.model.bound import bind_plain, bound_values
from posterity.model.dataset import stack_datasets
from posterity.model.intake import pad_dataset, read_arrays
from posterity.model.read import read_model, read_whole
from posterity.model.whole_soundness import check_whole
from posterity.runtime.errors import InputError, RowsError


def rows_of(y):
    numpyro.sample("obs", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0), obs=y)


def whole(function, data):
    return read_whole(function, data, "it is a test")


@pytest.mark.parametrize(("function", "data"), WHOLE.values(), ids=WHOLE)
def test_the_log_joint_is_numpyros(function, data, rng_key):
    model = whole(function, data)
    z = 0.5 * random.normal(rng_key, (model.space.size,))
    parts = {site.name: model.space.part(z, site.name) for site in model.space.sites}
    arrays = {name: jnp.asarray(array, jnp.asarray(array).dtype) for name, array in data.items()}
    expected = -potential_energy(function, (), arrays, parts)
    dataset = pad_dataset(model, data, 1)
    assert_allclose(model.log_joint(z, dataset), expected, rtol=1e-4)
    assert model.log_likelihood(z, dataset).shape == (1,)
    both = jax.vmap(model.log_joint, in_axes=(None, 0))(z, stack_datasets([dataset, dataset]))
    assert_allclose(both, [expected, expected], rtol=1e-4)


@pytest.mark.parametrize(("function", "data"), WHOLE.values(), ids=WHOLE)
def test_it_is_looked_at_where_it_is_finite_and_better_than_at_the_origin(function, data):
    model = whole(function, data)
    dataset, z = check_whole(model, read_arrays(model, data))
    assert np.all(np.isfinite(jax.grad(model.log_joint)(z, dataset)))
    assert model.log_joint(z, dataset) > model.log_joint(jnp.zeros_like(z), dataset)


@pytest.mark.parametrize(("function", "data"), WHOLE.values(), ids=WHOLE)
def test_by_rows_it_is_refused(function, data):
    with pytest.raises(RowsError):
        read_model(function, data)


def test_data_are_the_arguments_from_which_a_site_observes():
    function, data = WHOLE["marginal Gaussian process"]
    assert [a.role for a in whole(function, data).arguments] == ["covariate", "data"]
    assert [a.role for a in whole(sliced, {"y": SERIES}).arguments] == ["data"]


def test_its_size_is_that_of_its_longest_argument():
    assert whole(schools, {"sigma": ERRORS, "y": EFFECTS}).num_terms(1) == 8
    assert read_model(rows_of, {"y": SERIES}).num_terms(16) == 16


def test_whole_models_of_one_program_and_shape_are_one():
    assert whole(sliced, {"y": SERIES}) is whole(sliced, {"y": SERIES + 1.0})
    assert whole(sliced, {"y": SERIES}) != whole(sliced, {"y": SERIES[1:]})


def test_plain_values_are_written_into_the_program():
    data = {"J": np.int64(8), "sigma": ERRORS, "y": EFFECTS}
    function, rest = bind_plain(schools_of, data)
    assert list(rest) == ["sigma", "y"] and bound_values(function) == {"J": 8}
    model, fixed = whole(function, rest), whole(schools, rest)
    assert list(read_arrays(model, data)) == ["sigma", "y"]
    z = jnp.linspace(-1.0, 1.0, model.space.size)
    assert_allclose(model.log_joint(z, pad_dataset(model, data, 1)), fixed.log_joint(z, pad_dataset(fixed, rest, 1)))
    with pytest.raises(InputError, match="'J' is 8 in the model as it was read; got 7"):
        read_arrays(model, {**data, "J": 7})


def test_a_dataset_of_another_shape_is_refused():
    model = whole(sliced, {"y": SERIES})
    with pytest.raises(InputError, match=message("'y' must have shape (30,).*got (29,)")):
        read_arrays(model, {"y": SERIES[1:]})


# ------------------------------------------------------------------------------------------- refusals


def regimes(y):
    k = numpyro.sample("k", dist.Bernoulli(0.5))
    numpyro.sample("obs", dist.Normal(k * y[:-1], 1.0), obs=y[1:])


def moving_support(y):
    top = numpyro.sample("top", dist.HalfNormal(1.0))
    phi = numpyro.sample("phi", dist.TruncatedNormal(0.0, 1.0, low=top))
    numpyro.sample("obs", dist.Normal(phi * y[:-1], 1.0), obs=y[1:])


def broadcasting(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("obs", dist.Normal(mu * y[:-1, None], 1.0), obs=y[1:])


def no_latent(y):
    numpyro.sample("obs", dist.Normal(y[:-1], 1.0), obs=y[1:])


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        (regimes, "latent site 'k' is discrete (Bernoulli)"),
        (moving_support, "the support of latent site 'phi' depends on another latent"),
        (broadcasting, "observed site 'obs' broadcasts"),
        (no_latent, "has no latent site"),
    ],
)
def test_what_no_reading_serves_is_refused(function, pattern):
    with pytest.raises(InputError, match=message(pattern)):
        whole(function, {"y": SERIES})


def decay(t, y):
    rate, noise = numpyro.sample("rate", dist.HalfNormal(1.0)), numpyro.sample("noise", dist.HalfNormal(1.0))
    states = odeint(lambda state, _, k: -k * state, jnp.ones(1), t, rate)[:, 0]
    numpyro.sample("obs", dist.Normal(states, noise), obs=y)


def until_settled(y):
    rate = numpyro.sample("rate", dist.Beta(2.0, 2.0))
    limit = jax.lax.while_loop(lambda x: x > 0.1, lambda x: rate * x, jnp.ones(()))
    numpyro.sample("obs", dist.Normal(limit + y.mean(), 1.0), obs=y)


def nowhere_finite(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("obs", dist.Normal(jnp.log(-jnp.exp(mu)), 1.0), obs=y[1:])


@pytest.mark.parametrize(
    ("function", "data", "pattern"),
    [
        (decay, {"t": np.linspace(0.0, 1.0, 5), "y": np.ones(5)}, "derivatives in reverse mode only.*lax.scan"),
        (until_settled, {"y": SERIES}, "a loop without derivatives in reverse mode.*lax.scan"),
        (nowhere_finite, {"y": SERIES}, "the log joint is not finite near the origin.*site 'obs'"),
    ],
)
def test_what_cannot_be_differentiated_is_refused_with_the_cure(function, data, pattern):
    model = whole(function, data)
    with pytest.raises(InputError, match=message(pattern)):
        check_whole(model, read_arrays(model, data))
