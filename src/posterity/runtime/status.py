"""What takes more than a second says what it is doing: a passing line in a terminal or a notebook, and one in the log.

    with working("compiling the model"):
        ...

One thread looks after all blocks of all threads, and sleeps while there are none. To enter and to leave a block costs a
few microseconds, so that it may stand around what usually takes a millisecond.
"""

import contextlib
import logging
import os
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from posterity.runtime.plain import printable

__all__ = ["no_status", "show_status", "working"]

PATIENCE = 1.0  # seconds that a block may take without a word
TICK = 0.25  # seconds between two looks at the open blocks

_log = logging.getLogger("posterity")


class working:  # noqa: N801 - a context manager, which reads as a verb
    """While the block lasts, it may be said what is going on; see the module.

    Nothing is written to standard output, and the line goes when the block ends, however it ends. The log gets what is
    going on as a message of level INFO of the logger `posterity`.

    Args:
        what: Such as `compiling the model`: what follows on "is".
    """

    __slots__ = ("__weakref__", "is_told", "started", "what")

    def __init__(self, what: str):
        self.what, self.started, self.is_told = what, 0.0, False

    def __enter__(self) -> None:
        self.started = time.monotonic()
        _watch.open[id(self)] = weakref.ref(self)
        if _watch.is_asleep:
            _watch.wake()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _watch.open.pop(id(self), None)
        if self.is_told:
            _watch.look()


def show_status(wanted: bool) -> None:
    """Whether long work says what it is doing, in this process; it does unless told otherwise.

    Args:
        wanted: False for silence, in the log as well.
    """
    _watch.is_wanted = wanted
    _watch.look()


@contextlib.contextmanager
def no_status() -> Iterator[None]:
    """While it lasts, no thread says anything: for what shows its progress itself."""
    with _watch.lock:
        _watch.num_hiding += 1
    _watch.look()
    try:
        yield
    finally:
        with _watch.lock:
            _watch.num_hiding -= 1


class _Watch:
    """The open blocks, and the line that is shown.

    Attributes:
        open: Number of a block -> the block. Weak, since an interrupt may come between a block's entry and its body.
    """

    def __init__(self) -> None:
        self.open: dict[int, weakref.ref[working]] = {}
        self.is_wanted, self.num_hiding = True, 0
        self.is_asleep = True
        self.lock = threading.RLock()
        self.called = threading.Event()
        self.thread: threading.Thread | None = None
        self.line: _TerminalLine | _NotebookLine | None = None

    def wake(self) -> None:
        """Has the thread look at the blocks from now on."""
        self.is_asleep = False
        self.called.set()
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="posterity-status", daemon=True)
                self.thread.start()
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=self._start_anew)

    def look(self) -> None:
        """Says what has taken long, and takes back what has ended."""
        with self.lock:
            blocks = self._long_ones() if self.is_wanted and not self.num_hiding else []
            for block in blocks:
                if not block.is_told:
                    block.is_told = True
                    _log.info("%s ...", block.what)
            if blocks:
                self.line = self.line or _new_line()
                if self.line is not None:
                    self.line.write(f"{blocks[-1].what} ... {time.monotonic() - blocks[-1].started:.0f} s")
            elif self.line is not None:
                self.line.erase()
                self.line = None

    def _long_ones(self) -> list[working]:
        blocks = [block for entry in list(self.open.values()) if (block := entry()) is not None]
        return [block for block in blocks if time.monotonic() - block.started >= PATIENCE]

    def _start_anew(self) -> None:
        """In a forked process: the thread stayed behind, perhaps with the lock."""
        self.lock, self.called = threading.RLock(), threading.Event()
        self.thread, self.line, self.is_asleep = None, None, True

    def _run(self) -> None:
        while True:
            time.sleep(TICK)
            self.look()
            for number, entry in list(self.open.items()):
                if entry() is None:
                    self.open.pop(number, None)
            if not self.open:
                self.called.clear()
                self.is_asleep = True
                if not self.open:  # whoever entered a block meanwhile took this thread to be awake
                    self.called.wait()
                self.is_asleep = False


class _TerminalLine:
    """The last line of a terminal, written to again and again."""

    def __init__(self, stream: Any):
        self.stream, self.length = stream, 0

    def write(self, text: str) -> None:
        """Replaces what stands there."""
        text = printable(text)[: shutil.get_terminal_size().columns - 1]
        self._put(f"\r{text.ljust(self.length)}")
        self.length = len(text)

    def erase(self) -> None:
        """Leaves the line as it was."""
        self._put(f"\r{' ' * self.length}\r")

    def _put(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or the stream closed
            self.stream.write(text)
            self.stream.flush()


class _NotebookLine:
    """An output of a notebook's cell."""

    def __init__(self) -> None:
        self.handle: Any = None

    def write(self, text: str) -> None:
        """Replaces what stands there."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        if self.handle is None:
            self.handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self.handle.update({"text/plain": text}, raw=True)

    def erase(self) -> None:
        """Leaves nothing to be seen."""
        self.write("")


def _new_line() -> _TerminalLine | _NotebookLine | None:
    """Where a line may be shown; None where only the log will do."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if type(shell).__name__ == "ZMQInteractiveShell":
        return _NotebookLine()
    stream = sys.stderr
    return _TerminalLine(stream) if stream is not None and stream.isatty() else None


_watch = _Watch()
