"""What threads share: the BLAS library, and NumPyro's stack of handlers."""

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["NUMPYRO", "WhileAnyBlock", "num_cores", "one_blas_thread"]

NUMPYRO = threading.RLock()
"""Held by whoever runs a NumPyro program: NumPyro keeps the handlers of all threads on one stack."""


class WhileAnyBlock:
    """A setting of the whole process, for as long as a `with` block of any thread lasts.

    Blocks of several threads may overlap in any order: the first sets it, and the last puts back what the first found.
    """

    def __init__(self, change: Callable[[], Callable[[], None]]):
        """Setting that is not set yet.

        Args:
            change: Sets it, and returns what puts it back.
        """
        self._change = change
        self._lock, self._number = threading.Lock(), 0
        self._put_back: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        with self._lock:
            if self._number == 0:
                self._put_back = self._change()
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._number -= 1
            if self._number == 0:
                self._put_back()


def one_blas_thread() -> WhileAnyBlock:
    """For as long as the block lasts, BLAS and LAPACK run in the thread that calls them.

    JAX hands triangular solves and Cholesky factors to SciPy's OpenBLAS, which spreads even small ones over all cores
    and waits for the slowest: on a machine that does anything else, each dataset took ten times as long.
    """
    return _ONE_BLAS_THREAD


def _limit_blas() -> Callable[[], None]:
    limit = _controller().limit(limits=1, user_api="blas")
    _hand_over()

    def put_back() -> None:
        limit.restore_original_limits()
        _hand_over()

    return put_back


_ONE_BLAS_THREAD = WhileAnyBlock(_limit_blas)


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
