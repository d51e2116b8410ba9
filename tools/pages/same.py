"""Whether a program printed what a page says: the same words, and the same numbers but for what machines may change."""

import re

__all__ = ["difference"]

NUMBER = re.compile(r"[-\N{MINUS SIGN}+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
NEAR, LAST_DIGITS = 0.03, 2.5


def difference(expected: str, printed: str) -> str | None:
    """The first line that differs, or None.

    Blanks count as one. A number may be off by 3% or by two units of its last digit: with one seed, programs of two
    compilers draw nearly the same. `...` stands for anything in its line; alone in a line, for any lines.

    Args:
        expected: By the page.
        printed: By the program.
    """
    wanted, lines = _lines(expected), _lines(printed)
    at = 0
    for number, line in enumerate(wanted):
        if line == "...":
            after = wanted[number + 1] if number + 1 < len(wanted) else None
            while at < len(lines) and (after is None or not _agrees(after, lines[at])):
                at += 1
            continue
        if at >= len(lines):
            return f"the page says {line!r}, and nothing more was printed"
        if not _agrees(line, lines[at]):
            return f"the page says {line!r}; printed was {lines[at]!r}"
        at += 1
    return None if at == len(lines) else f"printed was also {lines[at]!r}"


def _lines(text: str) -> list[str]:
    rows = [" ".join(line.split()) for line in text.splitlines()]
    return [row for row in rows if row == "..." or any(c.isalnum() for c in row)]  # a table's frame follows its cells


def _agrees(expected: str, printed: str) -> bool:
    words = [re.escape(NUMBER.sub("0", part)) for part in expected.split("...")]
    if not re.fullmatch(".*".join(words), NUMBER.sub("0", printed)):
        return False
    if "..." in expected:
        return True
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(printed), strict=True)
    return all(_is_near(one, other) for one, other in pairs)


def _is_near(expected: str, printed: str) -> bool:
    wanted, found = (float(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in (expected, printed))
    digits = len(expected.partition(".")[2]) if "e" not in expected else 12
    return abs(wanted - found) <= max(NEAR * abs(wanted), LAST_DIGITS * 10.0**-digits if digits else 0.0)
