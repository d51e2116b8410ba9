"""Errors at the door: one sentence that says what is wrong, where, and how to mend it."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["InputError", "RowsError", "did_you_mean", "lookup"]

_Value = TypeVar("_Value")


class InputError(ValueError):
    """The user's model, table, artifact or option cannot serve as given.

    The console prints its message as one line and exits with 2; nothing has been written.
    """


class RowsError(InputError):
    """A model cannot be read as one of exchangeable rows; its whole dataset may still count as one observation."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Sentence naming the closest known name, with a leading space; empty when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def lookup(kind: str, name: str, table: Mapping[str, _Value]) -> _Value:
    """Entry `name` of a table of built-ins.

    Args:
        kind: What the table holds, in the singular ("encoder"), for the message.
        name: The user's spelling.
        table: Known names and what they stand for.

    Raises:
        InputError: `name` is unknown; the message lists the known names and the nearest one.
    """
    if name in table:
        return table[name]
    known = ", ".join(f"'{key}'" for key in sorted(table))
    raise InputError(f"unknown {kind} '{name}'. Known: {known}.{did_you_mean(name, table)}")
