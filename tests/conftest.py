"""Fixtures for all tests, and the runtime shape checks that run in tests only."""

import os
import zlib
from collections.abc import Iterator

# Before anything loads it: test processes share the cores already, and its threads would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jaxtyping
import pytest
from jaxtyping import PRNGKeyArray

# Before anything imports posterity: every annotated shape and type in it is checked from here on.
jaxtyping.install_import_hook("posterity", "typechecker.checked")


@pytest.fixture
def rng_key(request: pytest.FixtureRequest) -> PRNGKeyArray:
    """A key of its own for each test, the same in every run."""
    return jax.random.key(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def strict_numerics() -> Iterator[None]:
    """Refuse `(n,) - (n, 1)` and implicit type promotion; NumPyro and FlowJAX themselves need both."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """Switch the runtime checks off, as users have them: for tests of our own checks of shapes and types."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
