"""Where the command writes: results to standard output, remarks to standard error, files that were checked first."""

import contextlib
import contextvars
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posterity.runtime.errors import InputError
from posterity.runtime.plain import printable, without_nan
from posterity.runtime.status import no_status

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["check_output", "is_quiet", "note", "note_written", "print_json", "quietly", "result_console"]

WIDTH_OF_FILES = 120

is_quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("is_quiet", default=False)
"""Whether remarks and progress stay away."""


@contextlib.contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """While it lasts, there are no remarks and no progress, if `quiet`; errors and results there are."""
    token = is_quiet.set(quiet)
    try:
        with no_status() if quiet else contextlib.nullcontext():
            yield
    finally:
        is_quiet.reset(token)


def result_console() -> "Console":
    """Standard output for tables: as wide as the terminal, and wide enough in a file or a pipe."""
    from rich.console import Console
    from rich.segment import Segment

    class PlainConsole(Console):
        """Rich lets escape characters pass."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    console = PlainConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_FILES
    return console


def note(message: str) -> None:
    """A remark beside the result: standard error, one line; none where all is quiet."""
    if not is_quiet.get():
        print(printable(message), file=sys.stderr)


def print_json(value: Any) -> None:
    """A result on standard output; NaN and infinities become null."""
    print(json.dumps(without_nan(value), indent=2, allow_nan=False))


def check_output(path: Path | None, *suffixes: str, inputs: Iterable[Path | str | None] = ()) -> bool:
    """Refuses an output file that could not be written or would destroy an input, before any work is done.

    Args:
        path: The file, if there shall be one.
        *suffixes: What its name may end in.
        inputs: Files that the command reads, and outputs that it writes besides; of a directory no file may be
            replaced. What is no path of either is passed over.

    Returns:
        Whether there is such a file, which will be replaced; for `note_written`.

    Raises:
        InputError: The name ends in something else, is a directory or an input, or lies in no writable directory.
    """
    if path is None:
        return False
    if path.suffix.lower() not in suffixes:
        raise InputError(f"cannot write '{path}': expected a name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"cannot write '{path}': it is a directory")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write '{path}': there is no directory '{path.parent}'")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"cannot write '{path}': you may not write there")
    for other in inputs:
        if other is not None and _would_replace(path, Path(other)):
            raise InputError(
                f"cannot write '{path}': it is '{other}', which this command reads or writes, too. Choose another name."
            )
    return path.exists()


def note_written(path: Path | None, replaced: bool) -> None:
    """A remark that a file was written, if there is one, and whether another had to go for it."""
    if path is not None:
        note(f"{'replaced' if replaced else 'wrote'} {path}")


def _would_replace(path: Path, other: Path) -> bool:
    """Whether both are one file, however they are spelled or linked, or `path` lies in the directory `other`."""
    if other.is_dir():
        return os.path.samefile(path.absolute().parent, other)
    if path.exists() and other.exists():
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)
