"""One thread for linear algebra: matrices here are small, and threads that wait for each other cost far more."""

import os
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["num_cores", "one_blas_thread"]


def one_blas_thread() -> AbstractContextManager[object]:
    """For as long as the block lasts, BLAS and LAPACK run in the thread that calls them.

    JAX hands triangular solves and Cholesky factors to SciPy's OpenBLAS, which spreads even small ones over all cores
    and waits for the slowest: on a machine that does anything else, each dataset took ten times as long.
    """
    return _controller().limit(limits=1, user_api="blas")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _controller() -> "ThreadpoolController":
    import scipy.linalg  # noqa: F401 - so that its library is loaded and found
    from threadpoolctl import ThreadpoolController  # here, since its import sets an environment variable

    return ThreadpoolController()
