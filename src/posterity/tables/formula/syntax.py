"""The letters of a formula: brackets, quotes and names, so that `+` inside `log(a + b)` is not one of ours."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from posterity.runtime.errors import InputError

__all__ = ["Name", "columns_in", "is_enclosed", "names_in", "plain_name", "split_at", "whole_call"]

_OPENING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = ("'", '"', "`")
_NAME = re.compile(r"`(?P<quoted>[^`]*)`|'[^']*'|\"[^\"]*\"|(?P<number>\d[\w.]*)|(?P<name>[^\W\d][\w.]*)")
_LITERALS = ("True", "False", "None", "and", "or", "not", "in", "if", "else", "is", "lambda")


class Name(NamedTuple):
    """A name that a formula mentions.

    Attributes:
        text: The name without backticks; with its dots, as in `np.log`.
        is_column: It has to be a column: no function, no keyword, nothing with a dot.
    """

    text: str
    is_column: bool


def split_at(text: str, marks: str, where: str) -> list[tuple[str, str]]:
    """Pieces of a text between marks that stand outside all brackets and quotes, each with the mark before it.

    Args:
        text: What to split.
        marks: Single characters.
        where: Start of the error message.

    Returns:
        `(mark, piece)` in order, pieces stripped; the first mark is empty.

    Raises:
        InputError: A bracket or a quote is not closed, or closed twice.
    """
    pieces, mark, start = [], "", 0
    for place, letter in _outside(text, where):
        if letter in marks:
            pieces.append((mark, text[start:place].strip()))
            mark, start = letter, place + 1
    return [*pieces, (mark, text[start:].strip())]


def _outside(text: str, where: str) -> Iterator[tuple[int, str]]:
    """Characters outside brackets and quotes, with their places."""
    waiting: list[tuple[str, int]] = []
    quote: tuple[str, int] | None = None
    for place, letter in enumerate(text):
        if quote is not None:
            quote = None if letter == quote[0] else quote
        elif letter in _QUOTES:
            quote = letter, place
        elif letter in _OPENING:
            waiting.append((_OPENING[letter], place))
        elif letter in _OPENING.values():
            if not waiting or waiting.pop()[0] != letter:
                raise InputError(f"{where}: '{letter}' after '{_before(text, place)}' closes nothing. Remove it")
        elif not waiting:
            yield place, letter
    if quote is not None:
        raise InputError(f"{where}: the quote {quote[0]} in '{text[quote[1] :]}' is not closed. Close it")
    if waiting:
        closing, place = waiting[-1]
        raise InputError(f"{where}: '{text[place]}' in '{text[place:]}' is not closed. Add the '{closing}'")


def _before(text: str, place: int) -> str:
    return text[max(0, place - 20) : place].strip()


def is_enclosed(text: str, where: str) -> bool:
    """Whether one pair of round brackets encloses all of a text: `(1 | g)` does, `(a) + (b)` does not."""
    return text.startswith("(") and text.endswith(")") and not any(_outside(text, where))


def whole_call(text: str, function: str, where: str) -> str | None:
    """What stands in the brackets where all of a text is one call of a function; None where it is not."""
    name, bracket, _ = text.partition("(")
    inside = text[len(name) :]
    return inside[1:-1].strip() if bracket and name.strip() == function and is_enclosed(inside, where) else None


def plain_name(text: str) -> str | None:
    """The column that a text names and nothing else, backticks removed; None for an expression."""
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    return found["quoted"] if found["quoted"] is not None else found["name"]


def names_in(text: str) -> list[Name]:
    """Names that a text mentions, in order; words in quotes and numbers are none."""
    found = []
    for match in _NAME.finditer(text):
        if match["quoted"] is not None:
            found.append(Name(match["quoted"], True))
        elif match["name"] is not None and match["name"] not in _LITERALS:
            after = text[match.end() :].lstrip()
            is_call = after.startswith("(")
            is_keyword = after.startswith("=") and not after.startswith("==")
            is_attribute = "." in match["name"] or text[: match.start()].rstrip().endswith(".")
            found.append(Name(match["name"], not (is_call or is_keyword or is_attribute)))
    return found


def columns_in(texts: Sequence[str]) -> tuple[str, ...]:
    """Columns that expressions mention, each once, in order."""
    return tuple(dict.fromkeys(name.text for text in texts for name in names_in(text) if name.is_column))
