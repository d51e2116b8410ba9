"""Python's garbage collector, kept from looking through everything that was ever imported."""

import gc
from collections.abc import Callable

from posterity.runtime.threads import WhileAnyBlock

__all__ = ["no_full_collection"]

NEVER = 1_000_000_000


def no_full_collection() -> WhileAnyBlock:
    """While it lasts, only young objects are collected.

    Tracing makes so many objects that Python looks through all that there are, a million from imports alone: a tenth of
    a second each time, to find nothing.
    """
    return _NO_FULL_COLLECTION


def _raise_threshold() -> Callable[[], None]:
    youngest, young, oldest = gc.get_threshold()
    gc.set_threshold(youngest, young, NEVER)

    def put_back() -> None:
        youngest, young, now = gc.get_threshold()
        if now == NEVER:  # else somebody else has set another meanwhile
            gc.set_threshold(youngest, young, oldest)

    return put_back


_NO_FULL_COLLECTION = WhileAnyBlock(_raise_threshold)
