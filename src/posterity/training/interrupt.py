"""Ctrl-C while something trains: the work in progress is finished, and what comes after is left."""

import dataclasses
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupt", "interrupts"]


@dataclasses.dataclass
class Interrupt:
    """Whether the user has asked to stop."""

    asked: bool = False


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """While it lasts, the first Ctrl-C or SIGTERM asks to stop; a second one is at once. Then all is as it was.

    Elsewhere than in the main thread, which alone may handle signals, nothing asks.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(signum: int, frame: Any) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
