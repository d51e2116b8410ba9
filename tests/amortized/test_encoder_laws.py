"""Laws that every encoder of the table obeys, whatever is inside it."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax import random
from numpy.testing import assert_allclose

from posterity.amortized.encoders import ENCODERS
from posterity.runtime.errors import InputError, lookup

pytestmark = pytest.mark.usefixtures("strict_numerics")

FEATURES = 3
ROWS = 7
PADDED = 12
BATCH = 16
EVERYTHING = jnp.ones(ROWS, bool)

SMALL = {
    "deep_sets": {"width": 8, "depth": 2, "embedding_size": 6},
    "gru": {"width": 8, "depth": 2, "embedding_size": 6},
    "set_transformer": {"width": 8, "depth": 1, "num_points": 3, "embedding_size": 6},
    "transformer": {"width": 8, "depth": 2, "embedding_size": 6},
}

every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_set_encoder = pytest.mark.parametrize("name", [name for name in ENCODERS if name != "gru"])


@functools.cache
def build(name, **options):
    return lookup("encoder", name, ENCODERS)(FEATURES, **{**SMALL[name], **options}, key=random.key(1))


@functools.cache
def compiled(name, **options):
    """The small encoder under jit, shared by the tests so that each shape compiles once."""
    return eqx.filter_jit(build(name, **options))


@eqx.filter_jit
def weight_gradient(encoder, rows, mask, embed=jax.vmap):
    """Gradient of a random projection of the embeddings of a batch with respect to all weights."""
    direction = random.normal(random.key(3), (encoder.embedding_size,))

    def projection(encoder):
        return jnp.mean(embed(encoder)(rows, mask) @ direction)

    return eqx.filter_grad(projection)(encoder)


def some_rows(*batch, num_rows=ROWS):
    return random.normal(random.key(0), (*batch, num_rows, FEATURES))


def padded(rows, garbage):
    extra = PADDED - rows.shape[0]
    return jnp.pad(rows, ((0, extra), (0, 0)), constant_values=garbage), jnp.arange(PADDED) < rows.shape[0]


@every_encoder
@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_padding_changes_nothing(name, garbage):
    encoder = compiled(name)
    rows = some_rows()
    assert_allclose(encoder(*padded(rows, garbage)), encoder(rows, EVERYTHING), rtol=1e-5, atol=1e-5)


@every_encoder
def test_padding_changes_no_gradient(name):
    """One of the datasets is empty: its gradients, and those of NaN garbage, must be finite too."""
    mask = jnp.arange(PADDED)[None, :] < jnp.arange(BATCH)[:, None]
    rows = some_rows(BATCH, num_rows=PADDED)
    zeros, garbage = (
        weight_gradient(build(name), jnp.where(mask[..., None], rows, value), mask) for value in (0.0, jnp.nan)
    )
    for left, right in zip(jax.tree.leaves(zeros), jax.tree.leaves(garbage), strict=True):
        assert jnp.all(jnp.isfinite(right))
        assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@every_encoder
def test_masked_rows_equal_the_subset(name):
    encoder = compiled(name)
    rows = some_rows(num_rows=PADDED)
    mask = np.arange(PADDED) % 3 != 1
    subset = padded(rows[mask], 0.0)
    assert_allclose(encoder(rows, jnp.asarray(mask)), encoder(*subset), rtol=1e-5, atol=1e-5)


@every_encoder
def test_every_real_row_matters(name):
    """Otherwise an encoder that ignores its rows would pass all the laws."""
    encoder = compiled(name)
    rows = some_rows()
    for row in range(ROWS):
        changed = encoder(rows.at[row].add(1.0), EVERYTHING)
        assert jnp.max(jnp.abs(changed - encoder(rows, EVERYTHING))) > 1e-3


@every_set_encoder
def test_order_of_rows_changes_nothing(name):
    encoder = compiled(name)
    rows = some_rows()
    assert_allclose(encoder(rows[::-1], EVERYTHING), encoder(rows, EVERYTHING), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("gru", {}), ("transformer", {"positions": True})])
def test_order_of_rows_matters_where_it_should(name, options):
    encoder = compiled(name, **options)
    rows = some_rows()
    assert jnp.max(jnp.abs(encoder(rows[::-1], EVERYTHING) - encoder(rows, EVERYTHING))) > 1e-3


def test_padding_changes_nothing_with_positions():
    encoder = compiled("transformer", positions=True)
    rows = some_rows()
    assert_allclose(encoder(*padded(rows, 1e6)), encoder(rows, EVERYTHING), rtol=1e-5, atol=1e-5)


@every_set_encoder
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**31 - 1),
    mask=st.lists(st.booleans(), min_size=PADDED, max_size=PADDED),
    order=st.permutations(range(PADDED)),
    garbage=st.floats(allow_nan=True, allow_infinity=True, width=32),
    scale=st.floats(0.01, 10.0),
)
def test_mask_and_order_for_any_dataset(name, seed, mask, order, garbage, scale):
    encoder = compiled(name)
    mask = np.array(mask)
    rows = scale * np.random.default_rng(seed).normal(size=(PADDED, FEATURES)).astype(np.float32)
    expected = encoder(jnp.asarray(rows), jnp.asarray(mask))
    rows[~mask] = garbage
    got = encoder(jnp.asarray(rows[order]), jnp.asarray(mask[order]))
    assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * max(1.0, scale**2))


@every_encoder
def test_batch_equals_singles(name):
    encoder = build(name)
    rows = some_rows(3)
    mask = jnp.arange(ROWS)[None, :] < jnp.array([2, 5, ROWS])[:, None]
    mapped, together = eqx.filter_jit(eqx.filter_vmap(encoder))(rows, mask), compiled(name)(rows, mask)
    for index in range(3):
        alone = compiled(name)(rows[index], mask[index])
        assert_allclose(mapped[index], alone, rtol=1e-5, atol=1e-5)
        assert_allclose(together[index], alone, rtol=1e-5, atol=1e-5)


@every_encoder
def test_gradients_of_a_batch_equal_those_of_vmap(name):
    mask = jnp.arange(PADDED)[None, :] < jnp.arange(BATCH)[:, None]
    rows = some_rows(BATCH, num_rows=PADDED)
    mapped = weight_gradient(build(name), rows, mask)
    together = weight_gradient(build(name), rows, mask, lambda e: e)
    for left, right in zip(jax.tree.leaves(mapped), jax.tree.leaves(together), strict=True):
        assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@every_encoder
def test_jit_equals_no_jit(name):
    encoder = build(name)
    embedding = encoder(some_rows(), EVERYTHING)
    assert embedding.shape == (encoder.embedding_size,) == (SMALL[name]["embedding_size"],)
    assert embedding.dtype == jnp.float32
    assert_allclose(compiled(name)(some_rows(), EVERYTHING), embedding, rtol=1e-5, atol=1e-5)


@every_encoder
def test_gradients_reach_every_weight(name):
    mask = jnp.broadcast_to(jnp.arange(PADDED) < ROWS, (BATCH, PADDED))
    gradient = weight_gradient(build(name), some_rows(BATCH, num_rows=PADDED), mask)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        where = jax.tree_util.keystr(path)
        blocks = leaf if ".blocks.blocks" in where else leaf[None]  # a stack holds several blocks in one array
        for index, block in enumerate(blocks):
            assert jnp.any(block != 0.0), f"{where}, block {index}"


@every_encoder
def test_empty_dataset_is_finite(name):
    garbage = jnp.full((BATCH, PADDED, FEATURES), jnp.nan)
    nobody = jnp.zeros((BATCH, PADDED), bool)
    assert jnp.all(jnp.isfinite(compiled(name)(garbage[0], nobody[0])))
    assert jnp.all(jnp.isfinite(compiled(name)(garbage[0, :0], nobody[0, :0])))
    for leaf in jax.tree.leaves(weight_gradient(build(name), garbage, nobody)):
        assert jnp.all(jnp.isfinite(leaf))


@every_encoder
def test_rebuilt_from_name_size_and_options(name):
    first = build(name)
    again = eqx.filter_eval_shape(ENCODERS[name], FEATURES, **SMALL[name], key=random.key(99))
    assert jax.tree.structure(again) == jax.tree.structure(first)
    kinds = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(first)]
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(again)] == kinds


@every_encoder
def test_defaults_are_of_moderate_size(name):
    encoder = eqx.filter_eval_shape(ENCODERS[name], FEATURES, key=random.key(0))
    assert encoder.embedding_size == 128
    assert sum(leaf.size for leaf in jax.tree.leaves(encoder)) < 400_000  # several ship inside the package


def test_unknown_encoder_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown encoder 'deepset'\. Known: .*Did you mean 'deep_sets'\?"):
        lookup("encoder", "deepset", ENCODERS)


@every_encoder
@pytest.mark.parametrize("option", ["width", "depth", "embedding_size"])
def test_sizes_below_one_are_refused(name, option):
    with pytest.raises(InputError, match=f"'{name}'.*`{option}` must be at least 1, got 0"):
        build(name, **{option: 0})


@pytest.mark.parametrize("name", ["set_transformer", "transformer"])
def test_heads_must_divide_the_width(name):
    with pytest.raises(InputError, match=r"multiple of `num_heads`, got 8 and 3"):
        build(name, num_heads=3)
