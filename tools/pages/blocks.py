"""Fenced blocks of a Markdown page, and what stands right behind them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Block", "blocks", "with_output"]

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = "<!-- not run"


class Block(NamedTuple):
    """One block.

    Attributes:
        language: Such as `python`.
        text: What stands between the fences.
        line: Line of the page on which it begins, from 1.
        output: What it prints by the page; None where the page does not say.
        is_run: Whether it can be run here; if not, the page says why in a comment above: `<!-- not run: why -->`.
        span: Where its output stands in the page, or where it would go.
    """

    language: str
    text: str
    line: int
    output: str | None
    is_run: bool
    span: tuple[int, int]


def blocks(page: str) -> Iterator[Block]:
    """All blocks but outputs, in order.

    A `python` block prints what the `text` block right behind it says. A `console` block holds commands behind `$` and
    what each prints; its output is the block itself.
    """
    found = list(FENCE.finditer(page))
    for i, match in enumerate(found):
        language, text = match[1], match[2]
        if language == "text":
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        is_followed = after is not None and after[1] == "text" and not page[match.end() : after.start()].strip()
        above = page[: match.start()].rstrip().rpartition("\n")[2]
        span = after.span(2) if after is not None and is_followed else (match.end(), match.end())
        yield Block(
            language=language,
            text=text,
            line=page[: match.start()].count("\n") + 1,
            output=after[2] if after is not None and is_followed else None,
            is_run=not above.startswith(NOT_RUN),
            span=match.span(2) if language == "console" else span,
        )


def with_output(page: str, outputs: dict[tuple[int, int], str]) -> str:
    """The page with new outputs.

    Args:
        page: Its text.
        outputs: Span of an output in it -> the new text.
    """
    for (start, end), text in sorted(outputs.items(), reverse=True):
        page = page[:start] + text + page[end:]
    return page
