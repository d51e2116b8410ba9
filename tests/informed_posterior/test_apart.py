"""What the form of a model says of its rows is what numbers say, where it says anything."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import pytest
from informed_posterior.cases import NUM_COLUMNS, STRUCTURES, model_of, probe
from model.pieces import XY

from posterity.informed_posterior.read.apart import terms_are_apart
from posterity.informed_posterior.read.structure import read_structure
from posterity.model.read import read_model

NAMED_BY_HAND = {"non_centred": ("tau",)}


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_form_tells_of_every_usual_model(name):
    model = model_of(name)
    assert terms_are_apart(model, read_structure(model, NAMED_BY_HAND.get(name)), probe(model))


def weights():
    return numpyro.sample("w", dist.Normal(jnp.zeros(NUM_COLUMNS), 1.0))


def rolled(x, y=None):
    rate = jnp.exp(x @ weights())
    numpyro.sample("y", dist.Normal(rate + jnp.roll(rate, 1), 1.0), obs=y)


def normalised(x, y=None):
    numpyro.sample("y", dist.Normal(jax.nn.softmax(x @ weights()), 1.0), obs=y)


def reversed_rows(x, y=None):
    numpyro.sample("y", dist.Normal(jnp.exp(x @ weights())[::-1], 1.0), obs=y)


def summed_up(x, y=None):
    numpyro.sample("y", dist.Normal(jnp.cumsum(jnp.exp(x @ weights())), 1.0), obs=y)


def sorted_rows(x, y=None):
    numpyro.sample("y", dist.Normal(jnp.sort(jnp.exp(x @ weights())), 1.0), obs=y)


@pytest.mark.parametrize("function", [rolled, normalised, reversed_rows, summed_up, sorted_rows])
def test_rows_that_mix_are_never_called_apart(function):
    model = read_model(function, XY)
    assert not terms_are_apart(model, read_structure(model), probe(model))
