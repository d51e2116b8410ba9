"""Fixtures for all tests, and the runtime shape checks that run in tests only."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / ".pytest_cache" / "programs"

# Before anything loads JAX or NumPy; processes that tests start inherit it. Test processes share the cores already, and
# threads of the linear algebra library would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests compile more than they compute: little effort for each program, and each but once in a checkout (`make clean`).
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import jaxtyping
import pytest
from jaxtyping import PRNGKeyArray

# Before anything imports posterity: every annotated shape and type in it is checked from here on.
jaxtyping.install_import_hook("posterity", "typechecker.checked")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keeps the compiled programs of past versions from growing without end."""
    from posterity.runtime.cache import forget_oldest

    if PROGRAMS.is_dir() and not hasattr(session.config, "workerinput"):  # one process of many does it
        forget_oldest(PROGRAMS)


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
