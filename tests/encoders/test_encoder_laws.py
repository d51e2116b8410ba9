"""Laws that every encoder of the table obeys, whatever is inside it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import random
from numpy.testing import assert_allclose

from posterity.checks import InputError, lookup
from posterity.encoders import ENCODERS

FEATURES = 3
ROWS = 7
PADDED = 12

SMALL = {
    "deep_sets": {"width": 8, "depth": 2, "embedding_size": 6, "readout_depth": 1},
    "gru": {"width": 8, "depth": 2, "embedding_size": 6, "readout_depth": 1},
    "set_transformer": {"width": 8, "depth": 2, "num_points": 3, "embedding_size": 6, "readout_depth": 1},
    "transformer": {"width": 8, "depth": 3, "embedding_size": 6, "readout_depth": 1},
}
SETS = [name for name in ENCODERS if name != "gru"]

every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_set_encoder = pytest.mark.parametrize("name", SETS)


@pytest.fixture(autouse=True)
def strict_shapes_and_dtypes():
    """Our own networks never rely on `(n,) - (n, 1)` or on silent casts."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def build(name, **options):
    return lookup("encoder", name, ENCODERS)(FEATURES, **{**SMALL[name], **options}, key=random.key(1))


def compiled(name, **options):
    return eqx.filter_jit(build(name, **options))


def dataset(seed=0, num_rows=ROWS):
    return random.normal(random.key(seed), (num_rows, FEATURES)), jnp.ones(num_rows, bool)


def padded(rows, garbage, total=PADDED):
    extra = total - rows.shape[0]
    return jnp.pad(rows, ((0, extra), (0, 0)), constant_values=garbage), jnp.arange(total) < rows.shape[0]


def weight_gradient(encoder, rows, mask):
    """Gradient of a random projection of the embedding with respect to all weights."""
    direction = random.normal(random.key(3), (encoder.embedding_size,))
    return eqx.filter_jit(eqx.filter_grad(lambda encoder: jnp.dot(direction, encoder(rows, mask))))(encoder)


@every_encoder
@pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
def test_padding_changes_nothing(name, garbage):
    encoder = compiled(name)
    rows, mask = dataset()
    assert_allclose(encoder(*padded(rows, garbage)), encoder(rows, mask), rtol=1e-5, atol=1e-5)


@every_encoder
def test_padding_changes_no_gradient(name):
    encoder = build(name)
    rows, mask = dataset()
    plain = weight_gradient(encoder, rows, mask)
    with_padding = weight_gradient(encoder, *padded(rows, float("nan")))
    for left, right in zip(jax.tree.leaves(plain), jax.tree.leaves(with_padding), strict=True):
        assert_allclose(left, right, rtol=1e-3, atol=1e-5)


@every_encoder
def test_masked_rows_equal_the_subset(name):
    encoder = compiled(name)
    rows, _ = dataset()
    mask = jnp.array([True, False, True, True, False, False, True])
    chosen = rows[np.asarray(mask)]
    assert_allclose(encoder(rows, mask), encoder(chosen, jnp.ones(4, bool)), rtol=1e-5, atol=1e-5)


@every_encoder
def test_every_real_row_matters(name):
    """Otherwise an encoder that ignores its rows would pass all the laws."""
    encoder = compiled(name)
    rows, mask = dataset()
    for row in range(ROWS):
        changed = encoder(rows.at[row].add(1.0), mask)
        assert jnp.max(jnp.abs(changed - encoder(rows, mask))) > 1e-3


@every_set_encoder
def test_order_of_rows_changes_nothing(name):
    encoder = compiled(name)
    rows, mask = dataset()
    assert_allclose(encoder(rows[::-1], mask), encoder(rows, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("gru", {}), ("transformer", {"positions": True})])
def test_order_of_rows_matters_where_it_should(name, options):
    encoder = compiled(name, **options)
    rows, mask = dataset()
    assert jnp.max(jnp.abs(encoder(rows[::-1], mask) - encoder(rows, mask))) > 1e-3


def test_padding_changes_nothing_with_positions():
    encoder = compiled("transformer", positions=True)
    rows, mask = dataset()
    assert_allclose(encoder(*padded(rows, 1e6)), encoder(rows, mask), rtol=1e-5, atol=1e-5)


HYPOTHESIS_ENCODERS = {name: compiled(name) for name in ("set_transformer", "transformer")}


@pytest.mark.parametrize("name", HYPOTHESIS_ENCODERS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    mask=st.lists(st.booleans(), min_size=PADDED, max_size=PADDED),
    order=st.permutations(range(PADDED)),
    garbage=st.floats(allow_nan=True, allow_infinity=True, width=32),
    scale=st.floats(0.01, 10.0),
)
def test_mask_and_order_for_any_dataset(name, seed, mask, order, garbage, scale):
    encoder = HYPOTHESIS_ENCODERS[name]
    mask = np.array(mask)
    rows = scale * np.random.default_rng(seed).normal(size=(PADDED, FEATURES)).astype(np.float32)
    expected = encoder(jnp.asarray(rows), jnp.asarray(mask))
    rows[~mask] = garbage
    got = encoder(jnp.asarray(rows[order]), jnp.asarray(mask[order]))
    assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * max(1.0, scale**2))


@every_encoder
def test_batch_equals_singles(name):
    encoder = build(name)
    rows = random.normal(random.key(5), (3, ROWS, FEATURES))
    mask = jnp.arange(ROWS)[None, :] < jnp.array([[2], [5], [ROWS]])
    together = eqx.filter_jit(jax.vmap(encoder))(rows, mask)
    alone = eqx.filter_jit(encoder)
    for index in range(3):
        assert_allclose(together[index], alone(rows[index], mask[index]), rtol=1e-5, atol=1e-5)


@every_encoder
def test_jit_equals_no_jit(name):
    encoder = build(name)
    rows, mask = dataset()
    embedding = encoder(rows, mask)
    assert embedding.shape == (encoder.embedding_size,) == (SMALL[name]["embedding_size"],)
    assert embedding.dtype == jnp.float32
    assert_allclose(eqx.filter_jit(encoder)(rows, mask), embedding, rtol=1e-5, atol=1e-5)


@every_encoder
@pytest.mark.parametrize("products", [True, False])
def test_gradients_reach_every_weight(name, products):
    """Stacked weights hold several blocks in one array, so nearly all entries are asked for, not just any."""
    gradient = weight_gradient(build(name, products=products), *padded(dataset(num_rows=40)[0], 1e6, 48))
    for path, leaf in jax.tree.leaves_with_path(gradient):
        reached = jnp.mean((leaf != 0.0).astype(jnp.float32))
        assert reached > 0.8, f"{jax.tree_util.keystr(path)}: only {reached:.0%} of the entries"


@every_encoder
@pytest.mark.parametrize("num_rows", [0, 5])
def test_empty_dataset_is_finite(name, num_rows):
    encoder = build(name)
    rows, mask = jnp.full((num_rows, FEATURES), jnp.nan), jnp.zeros(num_rows, bool)
    assert jnp.all(jnp.isfinite(eqx.filter_jit(encoder)(rows, mask)))
    for leaf in jax.tree.leaves(weight_gradient(encoder, rows, mask)):
        assert jnp.all(jnp.isfinite(leaf))


@every_encoder
def test_rebuilt_from_name_size_and_options(name):
    saved = eqx.filter_jit(build)(name)
    rebuilt = ENCODERS[name](FEATURES, **SMALL[name], key=random.key(99))
    assert jax.tree.structure(rebuilt) == jax.tree.structure(saved)
    shapes = [leaf.shape for leaf in jax.tree.leaves(rebuilt)]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(saved)]


@every_encoder
def test_defaults_can_be_built(name):
    shapes = eqx.filter_eval_shape(ENCODERS[name], FEATURES, key=random.key(0))
    assert shapes.embedding_size == 128
    num_weights = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert num_weights < 400_000  # several of these ship inside the package


def test_unknown_encoder_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown encoder 'deepset'\. Known: .*Did you mean 'deep_sets'\?"):
        lookup("encoder", "deepset", ENCODERS)


@every_encoder
@pytest.mark.parametrize("option", ["width", "depth", "embedding_size"])
def test_sizes_below_one_are_refused(name, option):
    with pytest.raises(InputError, match=f"'{name}'.*`{option}` must be at least 1, got 0"):
        build(name, **{option: 0})


@every_encoder
def test_negative_readout_depth_is_refused(name):
    with pytest.raises(InputError, match="`readout_depth` must be at least 0, got -1"):
        build(name, readout_depth=-1)


@pytest.mark.parametrize("name", ["set_transformer", "transformer"])
def test_heads_must_divide_the_width(name):
    with pytest.raises(InputError, match=r"multiple of `num_heads`, got 8 and 3"):
        build(name, num_heads=3)
