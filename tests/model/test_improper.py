"""Improper priors: densities as NumPyro has them, values to start from in place of draws, and no simulation."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from model.pieces import XY, Y, message
from numpy.testing import assert_allclose
from numpyro.infer.util import potential_energy

from posterity.model.intake import pad_dataset
from posterity.model.read import read_model
from posterity.runtime.errors import InputError
from posterity.simulation.simulator import build_simulator


def flat(x, y):
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.ImproperUniform(dist.constraints.real, (), ()))
    cuts = numpyro.sample("cuts", dist.ImproperUniform(dist.constraints.ordered_vector, (), (2,)))
    sigma = numpyro.sample("sigma", dist.ImproperUniform(dist.constraints.positive, (), ()))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + cuts.sum(), sigma), obs=y)


@pytest.fixture(scope="module")
def model():
    return read_model(flat, XY)


def test_the_log_joint_is_numpyros(model, rng_key):
    assert model.improper_sites == ("w", "cuts", "sigma")
    z = 0.5 * random.normal(rng_key, (model.space.size,))
    parts = {site.name: model.space.part(z, site.name) for site in model.space.sites}
    expected = -potential_energy(flat, (), {name: jnp.asarray(array) for name, array in XY.items()}, parts)
    assert_allclose(model.log_joint(z, pad_dataset(model, XY, 8)), expected, rtol=1e-5)


def test_starts_lie_near_zero_and_differ(model, rng_key):
    covariates = {"x": jnp.asarray(XY["x"])}
    starts = np.stack([model.sample_prior(key, covariates, len(Y)) for key in random.split(rng_key, 200)])
    assert_allclose(starts.mean(axis=0), 0.0, atol=0.3)  # 4 standard errors
    assert_allclose(starts.std(axis=0), 1.0, atol=0.2)


def test_nothing_can_be_simulated():
    with pytest.raises(InputError, match=message("latent site 'w' has an improper prior.*give it a proper one")):
        build_simulator(flat, XY)
