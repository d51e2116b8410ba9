"""Python's garbage collector, kept from looking through everything that was ever imported."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_full_collection"]

NEVER = 1_000_000_000


@contextmanager
def no_full_collection() -> Iterator[None]:
    """While it lasts, only young objects are collected.

    Tracing makes so many objects that Python looks through all that there are, a million from imports alone: a tenth of
    a second each time, to find nothing. Thresholds belong to the process; blocks of several threads may overlap in any
    order: the first sets the last threshold, and the last puts it back.
    """
    _blocks.enter()
    try:
        yield
    finally:
        _blocks.leave()


class _Blocks:
    """How many blocks are open, and the threshold that the first one found."""

    def __init__(self) -> None:
        self.lock, self.number, self.found = threading.Lock(), 0, 0

    def enter(self) -> None:
        """Sets the threshold where no other block has."""
        with self.lock:
            if self.number == 0:
                youngest, young, self.found = gc.get_threshold()
                gc.set_threshold(youngest, young, NEVER)
            self.number += 1

    def leave(self) -> None:
        """Puts it back where no other block needs it."""
        with self.lock:
            self.number -= 1
            if self.number == 0:
                youngest, young, now = gc.get_threshold()
                if now == NEVER:  # else somebody else has set another meanwhile
                    gc.set_threshold(youngest, young, self.found)


_blocks = _Blocks()
