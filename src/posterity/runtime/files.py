"""Files that are whole or absent: written beside their place, then moved there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from posterity.runtime.errors import InputError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; when the block ends well, that file replaces `path`.

    A failure leaves `path` as it was and nothing beside it.

    Args:
        path: The file to make or replace.

    Raises:
        InputError: `path` cannot be written.
    """
    path = Path(path)
    unfinished = path.parent / f".{path.name}.{os.getpid()}.unfinished"
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            f"cannot write '{path}': {reason}. Choose a file in an existing directory that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # there is none after success, nor where none could be made
            unfinished.unlink()
