"""Scalar maps: sound in float32 at any parameters, since a network chooses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose

from posterity.amortized.families.scalar import TRANSFORMS, ElementwiseMap

MAPS = pytest.mark.parametrize("maps", [ElementwiseMap(name) for name in TRANSFORMS], ids=TRANSFORMS)
POINTS = jnp.asarray([-1e6, -1e3, -5.0001, -5.0, -4.9999, -1.3, 0.0, 0.7, 4.9999, 5.0, 5.0001, 1e3, 1e6])


@MAPS
def test_zero_parameters_give_the_identity(maps):
    zeros = jnp.zeros((len(POINTS), maps.num_params))
    y, log_dets = jax.jit(maps.transform_and_log_det)(zeros, POINTS)
    assert_allclose(y, POINTS, rtol=1e-6, atol=1e-6)
    assert_allclose(log_dets, 0.0, atol=1e-5)


@MAPS
def test_inverse_and_log_derivatives(maps, count=500):
    params = random.normal(random.key(0), (count, maps.num_params))
    x = 2.5 * random.normal(random.key(1), (count,))
    (y, log_dets), (slopes, _) = jax.jit(
        lambda x: jax.jvp(lambda x: maps.transform_and_log_det(params, x), (x,), (jnp.ones_like(x),))
    )(x)
    back, log_dets_back = jax.jit(maps.inverse_and_log_det)(params, y)
    assert_allclose(back, x, atol=1e-4)
    assert_allclose(log_dets, np.log(slopes), atol=1e-4)
    assert_allclose(log_dets_back, -log_dets, atol=1e-3)


@MAPS
@pytest.mark.parametrize("direction", ["transform_and_log_det", "inverse_and_log_det"])
def test_finite_at_any_parameters(maps, direction, count=4000):
    """Values and gradients, at random points, at the splines' ends and far beyond them.

    Parameters are huge and of random sign, mostly negative, which makes single bins very wide and steep.
    """
    signs = jnp.where(random.bernoulli(random.key(2), 0.15, (count, maps.num_params)), 1.0, -1.0)
    x = random.uniform(random.key(3), (count,), minval=-5.0, maxval=5.0)
    x = x.at[: 20 * len(POINTS)].set(jnp.tile(POINTS, 20))

    def total(params, x):
        y, log_dets = getattr(maps, direction)(params, x)
        return jnp.sum(y) + jnp.sum(log_dets), (y, log_dets)

    _, results = results_and_grads = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(1e6 * signs, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results_and_grads))
    assert (np.abs(results[1]) < 12.0).all()


def test_spline_inverse_is_finite_at_its_knots(count=20_000):
    """FlowJAX's root loses its digits there, and makes NaN with the bounds that it comes with."""
    maps = ElementwiseMap("spline")
    signs = jnp.where(random.bernoulli(random.key(4), 0.15, (count, maps.num_params)), 1.0, -1.0)
    knots = jax.jit(vmap(lambda raw: maps._bijection(raw).y_pos))(1e6 * signs)
    inverse = jax.jit(vmap(maps.inverse_and_log_det, in_axes=(None, 1)))
    for y in (knots, jnp.nextafter(knots, jnp.inf), jnp.nextafter(knots, -jnp.inf)):
        x, log_dets = inverse(1e6 * signs, y)
        assert np.isfinite(x).all()
        assert np.isfinite(log_dets).all()
