"""What threads share: the BLAS library, and NumPyro's stack of handlers."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["NUMPYRO", "num_cores", "one_blas_thread"]

NUMPYRO = threading.RLock()
"""Held by whoever runs a NumPyro program: NumPyro keeps the handlers of all threads on one stack."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """For as long as the block lasts, BLAS and LAPACK run in the thread that calls them.

    JAX hands triangular solves and Cholesky factors to SciPy's OpenBLAS, which spreads even small ones over all cores
    and waits for the slowest: on a machine that does anything else, each dataset took ten times as long.

    The number of threads belongs to the process. Blocks of several threads may overlap in any order: the first sets
    it, and the last puts back what the first found.
    """
    _blocks.enter()
    try:
        yield
    finally:
        _blocks.leave()


class _Blocks:
    """How many blocks are open, and the limit that they share."""

    def __init__(self) -> None:
        self.lock, self.number = threading.Lock(), 0
        self.limit: Any = None

    def enter(self) -> None:
        """Sets the limit where no other block has."""
        with self.lock:
            if self.number == 0:
                self.limit = _controller().limit(limits=1, user_api="blas")
                _hand_over()
            self.number += 1

    def leave(self) -> None:
        """Lifts the limit where no other block needs it."""
        with self.lock:
            self.number -= 1
            if self.number == 0:
                self.limit.restore_original_limits()
                _hand_over()


_blocks = _Blocks()


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


def _hand_over() -> None:
    """Lets any thread set the number next: threadpoolctl hears only the one that set it last, as long as it lives."""
    from threadpoolctl import OpenBLASController

    OpenBLASController.clear_controlling_thread()
