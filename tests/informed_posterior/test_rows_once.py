"""Rows that are quadratic in their predictors are read once for all scales, and their sum stays the model's own."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity.informed_posterior.read import conditional as conditional_module
from posterity.informed_posterior.read.curvature import Entries, curvatures
from posterity.informed_posterior.read.structure import conditional_terms, read_structure
from posterity.model.intake import pad_dataset, read_arrays
from posterity.model.read import read_model

NUM_GROUPS, NUM_ROWS = 5, 20
RNG = np.random.default_rng(3)
DATA = {
    "x": RNG.normal(size=NUM_ROWS).astype(np.float32),
    "group": RNG.integers(0, NUM_GROUPS, NUM_ROWS),
    "y": RNG.normal(2.0, 3.0, NUM_ROWS).astype(np.float32),
}


def _parts():
    sds = numpyro.sample("sds", dist.HalfNormal(jnp.ones(2)).to_event(1))
    mean = numpyro.sample("mean", dist.Normal(jnp.zeros(2), 3.0).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0))
    return sds, mean, sigma


def non_centred(x, group, y=None):
    """Slopes that a Cholesky factor mixes: the scales enter before the rows."""
    sds, mean, sigma = _parts()
    factor = numpyro.sample("factor", dist.LKJCholesky(2, 2.0))
    with numpyro.plate("groups", NUM_GROUPS):
        raw = numpyro.sample("raw", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    effects = mean + raw @ (sds[:, None] * factor).T
    numpyro.sample("y", dist.Normal(effects[group, 0] + effects[group, 1] * x, sigma), obs=y)


def centred(x, group, y=None):
    sds, mean, sigma = _parts()
    with numpyro.plate("groups", NUM_GROUPS):
        effects = numpyro.sample("effects", dist.Normal(mean, sds).to_event(1))
    numpyro.sample("y", dist.Normal(effects[group, 0] + effects[group, 1] * x, sigma), obs=y)


def scaled_at_the_end(x, group, y=None):
    """What a scale multiplies are the predictors themselves."""
    sds, mean, sigma = _parts()
    numpyro.sample("y", dist.Normal((mean[0] + mean[1] * x) * sds[0], sigma), obs=y)


def moved_on_the_way(x, group, y=None):
    """A scale that is added changes no coefficient."""
    sds, mean, sigma = _parts()
    with numpyro.plate("groups", NUM_GROUPS):
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal((raw * sds[0])[group] + mean[0] + mean[1] * x + sds[1] * x, sigma), obs=y)


def uneven(x, group, y=None):
    """A noise sd for each row."""
    sds, mean, sigma = _parts()
    with numpyro.plate("groups", NUM_GROUPS):
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
    noise = jnp.where(group > 1, sigma, 2.0 * sds[1])
    numpyro.sample("y", dist.Normal((raw * sds[0])[group] + mean[0] + mean[1] * x, noise), obs=y)


MODELS = [non_centred, centred, scaled_at_the_end, moved_on_the_way, uneven]


@pytest.mark.parametrize("function", MODELS)
def test_terms_are_the_log_joint_at_any_scales(function):
    """Padded rows among them. Float32 sums of some 20 rows of a few hundred nats at most."""
    arrays = {name: DATA[name] for name in DATA}
    model = read_model(function, arrays)
    structure = read_structure(model)
    assert structure.is_gaussian
    dataset = jax.tree.map(jnp.asarray, pad_dataset(model, read_arrays(model, arrays), 32))
    zs = 0.8 * random.normal(random.key(1), (6, model.space.size))

    def both(z):
        terms = conditional_terms(model, structure, z, dataset)
        rest = jnp.where(terms.mask, z, 0.0)
        inner = jax.value_and_grad(lambda v: terms.log_joint(jnp.where(terms.mask, v, 0.0)))(rest)
        outer = jax.value_and_grad(lambda v: model.log_joint(jnp.where(terms.mask, v, z), dataset))(rest)
        return inner, jax.tree.map(lambda leaf: jnp.where(terms.mask, leaf, 0.0) if leaf.ndim else leaf, outer)

    (value, slope), (expected, expected_slope) = jax.device_get(jax.jit(jax.vmap(both))(zs))
    assert_allclose(value, expected, rtol=2e-5, atol=1e-3)
    assert_allclose(slope, expected_slope, rtol=5e-4, atol=5e-3)


@pytest.mark.parametrize(
    ("function", "inner_size", "even"),
    [
        (non_centred, 2 * NUM_GROUPS + 2, True),
        (centred, None, True),
        (scaled_at_the_end, None, True),
        (moved_on_the_way, NUM_GROUPS + 2, True),
        (uneven, NUM_GROUPS + 2, False),
    ],
)
def test_what_is_read_once(function, inner_size, even, monkeypatch):
    """The stage that the scales enter, where there is one, and whether all rows weigh the same."""
    seen = []
    read_sites = conditional_module.read_sites
    monkeypatch.setattr(conditional_module, "read_sites", lambda *a: seen.append(read_sites(*a)) or seen[-1])
    model = read_model(function, DATA)
    structure = read_structure(model)
    dataset = pad_dataset(model, read_arrays(model, DATA), 32)

    def looked_at(z):
        conditional_terms(model, structure, z, dataset)
        (rows,) = (group for group in seen[-1].terms if group.is_data)
        assert (rows.curvatures <= Entries.ZERO_OR_SAME) == even
        if rows.inner is None:
            return None
        rest = [site.name for site in model.space.sites if site.name not in structure.scale_sites]
        return rows.inner.value({name: model.space.part(z, name) for name in rest})

    stage = jax.eval_shape(looked_at, jnp.zeros(model.space.size))
    assert (None if stage is None else stage.size) == inner_size


def _value(log_prob):
    return lambda known, predictor: log_prob(*[known[i] for i in sorted(known)], predictor)


@pytest.mark.parametrize(
    ("log_prob", "known", "even"),
    [
        (lambda y, sd, eta: dist.Normal(eta, sd).log_prob(y), [(4,), ()], True),
        (lambda y, sd, eta: dist.Normal(eta, sd).log_prob(y), [(4,), (4,)], False),
        (lambda y, sd, eta: jnp.where(y > 0.0, dist.Normal(eta, sd).log_prob(y), 0.0), [(4,), ()], True),
        (lambda y, sd, eta: jnp.where(y > 0.0, 1.0, 2.0) * dist.Normal(eta, sd).log_prob(y), [(4,), ()], False),
        (lambda y, sd, eta: dist.Normal(eta, sd * jnp.arange(1.0, 5.0)).log_prob(y), [(4,), ()], False),
        (lambda y, sd, eta: dist.Normal(eta, jnp.broadcast_to(sd, (4,))).log_prob(y), [(4,), ()], True),
        (lambda y, sd, eta: -jnp.cumsum(jnp.broadcast_to(sd, (4,))) * eta**2, [(4,), ()], False),
        (lambda y, sd, eta: y * eta, [(4,), ()], True),
    ],
)
def test_rows_of_one_weight_are_told(log_prob, known, even):
    shapes = dict(enumerate(jnp.zeros(shape) for shape in known))
    assert (curvatures(_value(log_prob), shapes, 4) <= Entries.ZERO_OR_SAME) == even


@pytest.mark.parametrize(
    ("log_prob", "kinked"),
    [
        (lambda y, sd, eta: dist.AsymmetricLaplaceQuantile(eta, sd, 0.9).log_prob(y), True),
        (lambda y, sd, eta: dist.Laplace(eta, sd).log_prob(y), True),
        (lambda y, sd, eta: dist.StudentT(3.0, eta, sd).log_prob(y), False),
        (lambda y, sd, eta: dist.BernoulliLogits(eta).log_prob((y > 0.0).astype(int)), False),
    ],
)
def test_kinks_are_told(log_prob, kinked):
    assert (curvatures(_value(log_prob), {0: jnp.zeros(4), 1: jnp.ones(())}, 4) is Entries.ZERO) == kinked
