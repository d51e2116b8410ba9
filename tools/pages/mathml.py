"""A hook of MkDocs: formulas become MathML while the site is built, so that no browser loads a script for them."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

INLINE, DISPLAY = r"\\\((.*?)\\\)", r"\\\[(.*?)\\\]"
FORMULA = re.compile(rf'<(span|div) class="arithmatex">(?:{INLINE}|{DISPLAY})</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of a page."""
    return FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    source = html.unescape(match[2] if match[2] is not None else match[3]).strip()
    return convert(source, display="inline" if match[2] is not None else "block")
