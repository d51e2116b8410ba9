"""Checks of the documentation that need no program: links, public names, and figures quoted from measured tables.

PYTHONPATH=tools python -m pages.check   # exit 1 where something is wrong
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["dead_links", "main", "stale_figures", "undocumented"]

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])+)\]\(([^)\s]+)(?:\s+"([^"]*)")?\)')
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
FROM_TABLE = re.compile(r"row (.+); column (.+)")


def pages(root: Path = ROOT) -> list[Path]:
    """All pages: the documentation, and the files in Markdown beside it."""
    return sorted([*root.glob("docs/**/*.md"), *root.glob("*.md")])


def dead_links(path: Path) -> Iterator[str]:
    """Links of a page to files or headings that are not there; those to other hosts are not followed."""
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    targets = [match[2] for match in LINK.finditer(text)] + IMAGE.findall(text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        place, _, heading = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if not file.exists():
            yield f"{path.relative_to(ROOT)}: no file '{target}'"
        elif heading and file.suffix == ".md" and heading not in _anchors(file):
            yield f"{path.relative_to(ROOT)}: no heading '{target}'"


def _anchors(path: Path) -> set[str]:
    """Anchors of headings, as MkDocs makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set(re.findall(r"\{ ?#([\w-]+) ?\}", text))
    for heading in re.findall(r"^#+ +(.+?)\s*(?:\{.*\})?$", text, re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", words))
    return found


def undocumented() -> Iterator[str]:
    """Public names that no page of the reference shows, or that have no docstring."""
    import posterity

    reference = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "api").glob("*.md")))
    shown = set(re.findall(r"^::: ([\w.]+)", reference, re.MULTILINE))
    for name in posterity.__all__:
        value = getattr(posterity, name)
        home = getattr(value, "__module__", None)
        if f"posterity.{name}" not in shown and f"{home}.{name}" not in shown:
            yield f"posterity.{name}: on no page of docs/api"
        if not isinstance(value, dict) and not (getattr(value, "__doc__", None) or "").strip():
            yield f"posterity.{name}: no docstring"


def stale_figures(path: Path) -> Iterator[str]:
    """Figures in a page's prose that are not those of the table that they name.

    Written as a link whose title says where: `[22.1](performance.md "row T1, linear regression; column ratio")`.
    """
    for match in LINK.finditer(CODE.sub("", path.read_text(encoding="utf-8"))):
        told, target, title = match[1], match[2], match[3] or ""
        where = FROM_TABLE.fullmatch(title)
        if where is None:
            continue
        file = (path.parent / target.partition("#")[0]).resolve()
        cell = _cell(file.read_text(encoding="utf-8"), where[1], where[2])
        number = told.split()[0]
        if cell is None:
            yield f"{path.relative_to(ROOT)}: {file.name} has no {title}"
        elif number != cell.split()[0]:
            yield f"{path.relative_to(ROOT)}: '{told}' is {cell} in {file.name}, {title}"


def _cell(text: str, row: str, column: str) -> str | None:
    """The cell of the first table that has both; `row` is how its line begins, cells joined by commas."""
    head: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
        elif column in head and ", ".join(cells).startswith(row):
            return cells[head.index(column)]
    return None


def main() -> int:
    """Prints what is wrong; returns the exit code."""
    found = [line for path in pages() for check in (dead_links, stale_figures) for line in check(path)]
    found += undocumented()
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
