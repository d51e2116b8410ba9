"""A flattened function is the same function, with nothing called inside and nothing for nobody."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.testing import assert_allclose

from posterity.model.flat import flattened


def function(inputs, scale):
    x = jax.nn.softplus(inputs["x"]) * scale  # a function with a derivative of its own
    total = lax.fori_loop(0, 3, lambda i, s: s + jnp.where(x > i, x, jnp.tanh(x)), jnp.zeros_like(x))
    jnp.linalg.inv(jnp.eye(3) + x)  # for nobody
    return jnp.sum(total), {"total": total, "constant": jnp.ones(2)}


def test_values_and_gradients_stay():
    inputs, scale = {"x": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)}, jnp.asarray(2.0)
    flat = flattened(function, {"x": inputs["x"][0]}, scale)

    def numbers(f):
        return jax.vmap(jax.value_and_grad(f, has_aux=True, argnums=(0, 1)), in_axes=(0, None))(inputs, scale)

    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-6), numbers(flat), numbers(function))


def test_nothing_is_called_and_nothing_is_for_nobody():
    flat = flattened(function, {"x": jnp.zeros(3)}, jnp.asarray(2.0))
    names = {equation.primitive.name for equation in jax.make_jaxpr(flat)({"x": jnp.zeros(3)}, 2.0).jaxpr.eqns}
    assert not names & {"jit", "lu", "triangular_solve"}
