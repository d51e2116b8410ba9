"""The largest power of weights that leaves enough effective draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterity.trust.powers import finite_weights, largest_power


def effective(log_weights, power):
    weights = np.asarray(jax.nn.softmax(power * finite_weights(jnp.asarray(log_weights))), np.float64)
    return 1.0 / np.sum(weights**2)


@pytest.mark.parametrize("spread", [5.0, 500.0, 5e4])
def test_just_enough_draws_stay_effective(spread):
    log_weights = spread * jax.random.normal(jax.random.key(0), (1000,))
    power = float(largest_power(log_weights[None], 32.0))
    assert 0.0 < power < 1.0
    assert effective(log_weights, power) == pytest.approx(32.0, rel=0.01)


def test_weights_that_serve_are_left_alone():
    log_weights = 0.1 * jax.random.normal(jax.random.key(1), (1000,))
    assert float(largest_power(log_weights[None], 32.0)) == 1.0
    assert float(largest_power(log_weights[None], 32.0, jnp.asarray(0.25))) == 0.25


def test_the_group_that_is_worst_off_decides():
    mild, harsh = (scale * jax.random.normal(jax.random.key(2), (500,)) for scale in (1.0, 100.0))
    together = float(largest_power(jnp.stack([mild, harsh]), 50.0))
    assert together == pytest.approx(float(largest_power(harsh[None], 50.0)), rel=1e-5)


def test_draws_without_weight_are_never_lifted():
    # One draw carries everything, forty more have a little, the others lie outside the support.
    log_weights = jnp.full(500, -jnp.inf).at[0].set(0.0).at[1:41].set(-5e5)
    power = largest_power(log_weights[None], 32.0)
    assert effective(log_weights, float(power)) > 32.0 * 0.99
    assert float(jnp.max((power * finite_weights(log_weights))[41:])) < -1e20


def test_fewer_draws_with_weight_than_asked_for_share_what_there_is():
    log_weights = jnp.full(500, -jnp.inf).at[:10].set(jnp.arange(10.0))
    power = largest_power(log_weights[None], 32.0)
    assert effective(log_weights, float(power)) == pytest.approx(10.0, rel=1e-3)
    assert float(jnp.max((power * finite_weights(log_weights))[10:])) < -1e20
