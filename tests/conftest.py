"""Fixtures for all tests, and the runtime shape checks that run in tests only."""

import zlib
from collections.abc import Iterator

import jax
import pytest
from jaxtyping import PRNGKeyArray, install_import_hook

# Before anything imports posterity: every annotated shape and type in it is checked from here on.
install_import_hook("posterity", "beartype.beartype")


@pytest.fixture
def rng_key(request: pytest.FixtureRequest) -> PRNGKeyArray:
    """A key of its own for each test, the same in every run."""
    return jax.random.key(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def strict_numerics() -> Iterator[None]:
    """Refuse `(n,) - (n, 1)` and implicit type promotion; NumPyro and FlowJAX themselves need both."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
