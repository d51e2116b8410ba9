"""The parts that encoders share, against the formulas that they stand for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity.amortized.encoders import DeepSets, Transformer
from posterity.amortized.encoders.attention import attend
from posterity.amortized.encoders.layers import (
    FeedForward,
    Stack,
    affine,
    masked_mean,
    normalise,
    num_pairs,
    second_moments,
)
from posterity.amortized.encoders.lift import RowLift
from posterity.amortized.encoders.transformer import sinusoidal_positions

pytestmark = pytest.mark.usefixtures("strict_numerics")


def test_masked_mean_is_the_mean_of_the_real_rows():
    values = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [3.0, 6.0]])
    assert_allclose(masked_mean(values, jnp.array([True, False, True])), [2.0, 4.0])
    assert_allclose(masked_mean(values, jnp.zeros(3, bool)), [0.0, 0.0])


def test_affine_is_the_layer_on_every_row():
    layer = eqx.nn.Linear(3, 2, key=random.key(0))
    rows = random.normal(random.key(1), (5, 3))
    assert_allclose(affine(layer, rows), jax.vmap(layer)(rows), rtol=1e-5, atol=1e-6)
    assert_allclose(affine(layer, rows[0]), layer(rows[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "out"), [(3, 2), (70, 66)], ids=["product per dataset", "one product"])
def test_affine_gradients_are_those_of_the_formula(width, out):
    """They are written by hand: few weights and many take different products."""
    layer = eqx.nn.Linear(width, out, key=random.key(0))
    rows = random.normal(random.key(1), (2, 80, width))
    ours = jax.grad(lambda pair: jnp.sum(affine(*pair) ** 2))((layer, rows))
    plain = jax.grad(lambda pair: jnp.sum(jax.vmap(jax.vmap(pair[0]))(pair[1]) ** 2))((layer, rows))
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert_allclose(left, right, rtol=1e-4, atol=1e-3)


def test_normalise_has_unit_mean_square_and_keeps_zeros():
    values = 50.0 * random.normal(random.key(0), (4, 9)) + 3.0
    assert_allclose(jnp.mean(normalise(values) ** 2, axis=-1), np.ones(4), rtol=1e-4)
    assert_allclose(normalise(jnp.zeros(9)), np.zeros(9))
    assert jnp.all(jnp.isfinite(jax.grad(lambda v: jnp.sum(normalise(v)))(jnp.zeros(9))))


@pytest.mark.parametrize("depth", [0, 1, 6])
def test_stack_applies_its_blocks_in_turn(depth):
    stack = Stack(lambda key: FeedForward(4, 8, key=key), depth, key=random.key(0))
    values = random.normal(random.key(1), (3, 4))
    expected = values
    for index in range(depth):
        block = jax.tree.map(lambda weights, index=index: weights[index], stack.blocks)
        expected = block(expected)
    assert_allclose(stack(values), expected, rtol=1e-5, atol=1e-5)


def test_attend_is_softmax_attention_over_the_real_keys():
    query, key, value = (random.normal(random.key(i), (n, 4)) for i, n in enumerate([3, 6, 6]))
    mask = jnp.array([True, True, False, True, False, True])
    real = np.flatnonzero(mask)
    expected = jax.nn.softmax(query @ key[real].T / 2.0) @ value[real]
    assert_allclose(attend(query, key, value, mask), expected, rtol=1e-5, atol=1e-6)


def test_attend_gradient_is_that_of_softmax():
    """The largest logit is cut out of the gradient and the division comes late: neither may show."""
    query, key, value = (random.normal(random.key(i), (n, 4)) for i, n in enumerate([3, 6, 6]))
    everything = jnp.ones(6, bool)
    ours = jax.grad(lambda q, k: jnp.sum(attend(q, k, value, everything) ** 2), (0, 1))(query, key)
    plain = jax.grad(lambda q, k: jnp.sum((jax.nn.softmax(q @ k.T / 2.0) @ value) ** 2), (0, 1))(query, key)
    assert_allclose(ours[0], plain[0], rtol=1e-4, atol=1e-5)
    assert_allclose(ours[1], plain[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_attend_to_a_single_key_returns_its_value(scale):
    query, key, value = (scale * random.normal(random.key(i), (n, 4)) for i, n in enumerate([3, 6, 6]))
    mask = jnp.arange(6) == 2
    assert_allclose(attend(query, key, value, mask), jnp.tile(value[2], (3, 1)), rtol=1e-6)
    slope = jax.grad(lambda key: jnp.sum(attend(query, key, value, mask)))(key)
    # What cancels has the size of values times queries; processors differ in how its last digit is rounded.
    assert_allclose(slope, np.zeros((6, 4)), atol=2e-6 * scale**2)


def test_attend_to_nobody_is_zero():
    query, value = jnp.ones((3, 4)), jnp.full((6, 4), 7.0)
    assert_allclose(attend(query, value, value, jnp.zeros(6, bool)), np.zeros((3, 4)))
    assert_allclose(attend(query, value[:0], value[:0], jnp.zeros(0, bool)), np.zeros((3, 4)))


def test_last_block_of_the_transformer_asks_for_cls_alone():
    """The shortcut equals self-attention of all tokens with [CLS] read afterwards."""
    encoder = Transformer(3, width=8, depth=1, key=random.key(0))
    tokens = random.normal(random.key(1), (6, 8))
    present = jnp.array([True, True, True, False, True, False])
    shortcut = encoder.last_block(tokens[:1], present, tokens)
    assert_allclose(shortcut, encoder.last_block(tokens, present)[:1], rtol=1e-5, atol=1e-6)


def test_positions_count_real_rows_only():
    mask = jnp.array([True, False, True])
    positions = sinusoidal_positions(mask, 5)
    assert positions.shape == (3, 5)
    assert_allclose(positions[2], sinusoidal_positions(jnp.ones(2, bool), 5)[1], rtol=1e-6)
    assert_allclose(positions[0], [0.0, 0.0, 0.0, 1.0, 1.0])


def test_lift_is_linear_and_reads_padding_as_zeros():
    lift = RowLift(3, 5, key=random.key(0))
    rows = jnp.stack([random.normal(random.key(1), (3,)), jnp.full(3, jnp.nan)])
    lifted = lift(rows, jnp.array([True, False]))
    assert_allclose(lifted[0], lift.linear(rows[0]), rtol=1e-5, atol=1e-6)
    assert_allclose(lifted[1], lift.linear.bias)


def test_second_moments_are_averages_of_products_of_the_real_rows():
    rows = jnp.array([[1.0, 2.0], [jnp.nan, 1e6], [3.0, -4.0]])
    moments = second_moments(rows, jnp.array([True, False, True]))
    assert_allclose(moments, [(1 + 9) / 2, (2 - 12) / 2, (4 + 16) / 2])  # x1 x1, x1 x2, x2 x2
    assert moments.shape == (num_pairs(2),)
    assert_allclose(second_moments(rows, jnp.zeros(3, bool)), np.zeros(3))


def test_embeddings_see_second_moments():
    """Two datasets with the same mean, zero, and the same absolute values differ in their correlation alone."""
    encoder = DeepSets(2, width=8, key=random.key(0))
    everything = jnp.ones(2, bool)
    along, across = jnp.array([[1.0, 1.0], [-1.0, -1.0]]), jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    without = eqx.tree_at(lambda e: e.project.weight, encoder, encoder.project.weight.at[:, -num_pairs(2) :].set(0.0))
    own = jnp.max(jnp.abs(encoder(along, everything) - encoder(across, everything)))
    rest = jnp.max(jnp.abs(without(along, everything) - without(across, everything)))
    assert own > 1.2 * rest
