"""The guards of the test suite itself: each must be able to fail."""

import warnings
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from posterity.runtime.errors import lookup

NO_TABLE: Any = 3


def test_types_are_checked():
    with pytest.raises(TypeCheckError, match="lookup"):
        lookup("encoder", "gru", NO_TABLE)


@pytest.mark.usefixtures("no_shape_checks")
def test_types_can_be_left_unchecked():
    with pytest.raises(TypeError, match="not iterable"):
        lookup("encoder", "gru", NO_TABLE)


def test_warnings_are_errors():
    with pytest.raises(UserWarning, match="spoken"):
        warnings.warn("spoken", stacklevel=1)


def test_rng_key_belongs_to_the_test(request, rng_key):
    expected = jax.random.key(zlib.crc32(request.node.nodeid.encode()))
    assert jnp.array_equal(jax.random.key_data(rng_key), jax.random.key_data(expected))


def test_rng_keys_differ_above_two_to_the_31():
    """crc32 fills 32 bits: the upper half must not collapse onto one key."""
    low, high = (jax.random.key_data(jax.random.key(seed)) for seed in (2**31, 2**32 - 1))
    assert not jnp.array_equal(low, high)


@pytest.mark.usefixtures("strict_numerics")
def test_strict_numerics_refuses_silent_broadcasting():
    with pytest.raises(ValueError, match="rank"):
        jnp.ones(3) - jnp.ones((3, 1))


@pytest.mark.usefixtures("strict_numerics")
def test_strict_numerics_refuses_silent_promotion():
    with pytest.raises(ValueError, match="promotion"):
        jnp.ones(3, jnp.float32) + jnp.ones(3, jnp.int32)
