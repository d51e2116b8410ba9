"""Entries of an event that are left out: the density is that of the others alone."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity import Envelope, InputError, build_simulator
from posterity.model.dataset import Dataset
from posterity.model.events import mask_events
from posterity.model.read import read_model

MASK = jnp.array([True, False, True])
KEPT = np.array([0, 2])
MU = np.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]])
WEIGHTS = dist.Categorical(probs=jnp.array([0.3, 0.7]))


def components(which):
    return dist.Normal(MU[:, which], 0.5).to_event(1)


CASES = {
    "independent entries": lambda which: dist.Laplace(MU[0, which], 0.4).to_event(1),
    "expanded": lambda which: dist.Normal(MU[0, which], 0.5).to_event(1).expand((4,)),
    "mixture": lambda which: dist.MixtureSameFamily(WEIGHTS, components(which)),
    "expanded mixture": lambda which: dist.MixtureSameFamily(WEIGHTS, components(which)).expand((4,)),
    "mixture of two families": lambda which: dist.MixtureGeneral(
        WEIGHTS, [dist.Normal(MU[0, which], 0.5).to_event(1), dist.Cauchy(MU[1, which], 0.5).to_event(1)]
    ),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_masked_entries_do_not_count(make):
    x = np.random.default_rng(0).normal(size=(4, 3))
    masked = mask_events(make(slice(None)), MASK)
    assert_allclose(masked.log_prob(x), make(KEPT).log_prob(x[:, KEPT]), rtol=1e-5)
    assert not np.allclose(make(slice(None)).log_prob(x), masked.log_prob(x), rtol=0.05)
    x[:, 1] += 100.0
    assert_allclose(masked.log_prob(x), make(KEPT).log_prob(x[:, KEPT]), rtol=1e-5)


def test_events_of_two_axes():
    mean = np.random.default_rng(1).normal(size=(2, 3))
    masked = mask_events(dist.Normal(mean, 1.0).to_event(1).to_event(1), MASK[None])
    assert_allclose(
        masked.log_prob(np.zeros((5, 2, 3))), dist.Normal(mean[:, KEPT], 1.0).to_event(2).log_prob(np.zeros((5, 2, 2)))
    )


def test_entries_that_hang_together_are_refused():
    def correlated(x):
        with numpyro.plate("dims", x.shape[1]):
            mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("x", dist.MultivariateNormal(mu, jnp.eye(x.shape[1]) + 0.5), obs=x)

    with pytest.raises(InputError, match=r"model 'correlated': .* site 'x' vary in size, but .* MultivariateNormal"):
        build_simulator(correlated, {"x": np.zeros((6, 3))}, Envelope((4, 8), {"dims": (1, 3)}))
    fixed = build_simulator(correlated, {"x": np.zeros((6, 3))}, Envelope((4, 8)))
    assert fixed.model.space.size == 3


def test_a_model_with_to_event_equals_the_same_with_two_plates():
    def by_event(x):
        with numpyro.plate("dims", x.shape[1]):
            mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("observations", x.shape[0]):
            numpyro.sample("x", dist.Normal(mu, 0.5).to_event(1), obs=x)

    def by_plates(x):
        with numpyro.plate("dims", x.shape[1], dim=-1):
            mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
            with numpyro.plate("observations", x.shape[0], dim=-2):
                numpyro.sample("x", dist.Normal(mu, 0.5), obs=x)

    first, second = (read_model(model, {"x": np.zeros((6, 3))}, {"dims": 3}) for model in (by_event, by_plates))
    values = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)

    @jax.jit
    def densities(z, size):
        dataset = Dataset({"x": values}, jnp.arange(8) < 6, first.plate_masks({"dims": size}))
        return [model.log_prior_and_likelihood(z, dataset) for model in (first, second)]

    for size in (1, 2, 3):
        (prior, rows), (same_prior, same_rows) = densities(random.normal(random.key(size), (3,)), size)
        assert_allclose(rows, same_rows, rtol=1e-5)
        assert_allclose(prior, same_prior, rtol=1e-5)
