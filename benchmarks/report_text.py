"""Parts of docs/measured.md that all sections share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "measured.md"
FIGURES = PAGE.parent / "figures"
Row = dict[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def provenance(rows: Sequence[Row]) -> str:
    """Commits and machines of the rows."""
    commits = sorted({row["commit"] for row in rows})
    machines = sorted({row["machine"] for row in rows})
    return f"Commit {', '.join(commits)}; {'; '.join(machines)}."


def ess_text(row: Row) -> str:
    """Median and 5% quantile of an importance ESS."""
    return f"{row['ess']['median']:.3f} ({row['ess']['q05']:.3f})"
