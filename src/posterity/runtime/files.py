"""Files that are whole or absent: written beside their place, then moved there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from posterity.runtime.errors import InputError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; when the block ends well, that file replaces `path`.

    A failure leaves `path` as it was and nothing beside it. Where `path` is a link, the file that it leads to is
    replaced. The unfinished file has a name that nobody can foresee and is made anew, so that none planted there is
    followed.

    Args:
        path: The file to make or replace.

    Raises:
        InputError: `path` cannot be written.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    unfinished = None
    try:
        file, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:100]}.", suffix=".unfinished")
        os.close(file)
        unfinished = Path(name)
        yield unfinished
        os.chmod(unfinished, _mode_of(place))
        os.replace(unfinished, place)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(
            f"cannot write '{path}': {reason}. Choose a file in an existing directory that you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # there is none after success
            if unfinished is not None:
                unfinished.unlink()


def _mode_of(place: Path) -> int:
    """Permissions of the file that is replaced, or those that a new one gets; a temporary file is the owner's alone."""
    if place.exists():
        return place.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
