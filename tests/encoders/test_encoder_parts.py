"""The parts that encoders share, against the formulas that they stand for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity.encoders import DeepSets, Transformer
from posterity.encoders.attention import attend
from posterity.encoders.layers import FeedForward, Stack, affine, masked_mean, normalise
from posterity.encoders.lift import RowLift
from posterity.encoders.transformer import sinusoidal_positions

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
    assert_allclose(slope, np.zeros((6, 4)))


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


def mirrored(rows):
    """Datasets of the same row mean, zero, with different second moments."""
    return jnp.concatenate([rows, -rows])


def test_lift_is_its_formula():
    lift = RowLift(3, 5, key=random.key(0))
    row = random.normal(random.key(1), (3,))
    expected = lift.linear(row) + lift.left(row) * lift.right(row)
    assert_allclose(lift(row[None, :], jnp.ones(1, bool))[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("products", [True, False])
def test_products_let_second_moments_through_the_average(products):
    encoder = DeepSets(3, width=8, products=products, key=random.key(0))
    rows = random.normal(random.key(1), (6, 3))
    everything = jnp.ones(12, bool)

    def linear_path(rows):
        return masked_mean(encoder.lift(rows, everything), everything)

    difference = jnp.max(jnp.abs(linear_path(mirrored(rows)) - linear_path(mirrored(2.0 * rows))))
    assert (difference > 0.1) if products else (difference < 1e-6)


@pytest.mark.parametrize("products", [True, False])
def test_moments_are_linear_functions_of_the_average(products):
    """With `width >= f (f + 3) / 2`, least squares recovers all first and second moments from the average."""
    features, datasets = 3, 60
    lift = RowLift(features, 12, products=products, key=random.key(0))
    rows = random.normal(random.key(1), (datasets, 8, features))
    average = np.asarray(jax.vmap(masked_mean)(jax.vmap(lift)(rows, rows[..., 0] < 9), rows[..., 0] < 9))
    second = jnp.einsum("bni,bnj->bij", rows, rows)[:, *jnp.triu_indices(features)] / rows.shape[1]
    moments = np.concatenate([jnp.mean(rows, axis=1), second], axis=1)

    design = np.concatenate([average, np.ones((datasets, 1))], axis=1)
    weights, *_ = np.linalg.lstsq(design, moments, rcond=1e-5)
    error = np.max(np.abs(design @ weights - moments), axis=0)
    assert np.all(error[:features] < 1e-3)
    assert np.all(error[features:] < 1e-3) if products else np.all(error[features:] > 0.1)
