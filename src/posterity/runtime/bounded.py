"""Files of strangers: read only if they are plain files of a bounded size, and checked before they are believed."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from posterity.runtime.errors import InputError

__all__ = ["digest", "plain_json", "read_plain"]

DEEPEST = 32


def read_plain(file: Path, most_bytes: int, *, follow: bool = False) -> bytes:
    """The bytes of a plain file; never waits, as a pipe or a device may make one do.

    Args:
        file: Where it lies.
        most_bytes: Largest size that is read.
        follow: Whether the file may be a link.

    Raises:
        InputError: It is missing, no plain file, or too large.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    try:
        with open(os.open(file, flags), "rb") as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{file} is missing or damaged: it is no plain file")
            if found.st_size > most_bytes:
                raise InputError(f"{file} is damaged: {found.st_size} bytes, where at most {most_bytes} make sense")
            return opened.read(most_bytes)
    except OSError as error:
        what = "it is a link" if file.is_symlink() else error.strerror or str(error)
        raise InputError(f"{file} is missing or damaged: {what}") from error


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def plain_json(content: bytes, what: str) -> Any:
    """Nested plain values of a JSON text.

    Args:
        content: The text.
        what: Start of the error message.

    Raises:
        InputError: It is no JSON, nested deeper than makes sense, or has keys twice, NaN or infinities.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{what} is damaged: {told}") from error
    if _depth(value) > DEEPEST:
        raise InputError(f"{what} is damaged: it is nested too deeply")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no JSON")


def _depth(value: Any) -> int:
    """How deeply lists and objects are nested, up to a bit beyond the deepest that is allowed."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            inner for v in level for inner in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())
        ]
        depth += 1
    return depth
