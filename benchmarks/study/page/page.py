"""Writes docs/study.md and its figures from the result rows and the paper's cells, so that no figure is typed by hand.

posterity bench report    (or `python -m study.page.page`, in benchmarks/)
"""

from collections.abc import Sequence

from report_text import PAGE, Row, provenance, table
from rows import read

from study.judging.paper_cells import Cell, read_cells
from study.judging.values import Study
from study.judging.verdicts import RULE
from study.page.claims import claims_section
from study.page.figures import CAPTIONS, draw, figures
from study.page.gaps import lacking_section
from study.page.questions import questions_section
from study.page.records import records_section
from study.page.tables import COMPACT, FULL, compact_section, counts_table, findings, full_section, training_lengths

__all__ = ["STUDY_PAGE", "main", "page"]

STUDY_PAGE = PAGE.with_name("study.md")
TITLE = "# The paper, cell by cell"
INTRO = (
    "Every number of *Amortized In-Context Bayesian Posterior Estimation* (Mittal, Bracher, Lajoie, Jaini, Brubaker; "
    "arXiv 2502.06601) beside ours. Made by `posterity bench report` from the result rows and from "
    "`benchmarks/study/judging/paper.jsonl`; nothing here is typed."
)
TRAP = (
    "**Expected L2 and accuracy cannot rank posteriors.** They average over single posterior draws, so an answer that "
    "is too narrow scores better than the exact posterior: the spread that the data leave costs loss. A value better "
    "than the exact posterior's is not a better posterior. Where the exact posterior or a converged NUTS run is known, "
    "the tables give the distance of both values to it (the paper's is over its own test datasets, so part of its "
    "distance is the difference between them and ours). Held-out log predictive densities, calibration and weights "
    "stand below, under *What the paper lacks*."
)


def page(study: Study, cells: Sequence[Cell]) -> str:
    """The whole page as Markdown."""
    return "\n\n".join(
        [
            TITLE,
            findings(study, cells),
            INTRO,
            _summary(study, cells),
            *(f"![{CAPTIONS[name]}](figures/{name}.svg)\n\n*{CAPTIONS[name]}.*" for name in figures(study, cells)),
            *(full_section(study, cells, name) for name in FULL),
            *(compact_section(study, cells, name) for name in COMPACT),
            claims_section(study, cells),
            lacking_section(study),
            records_section(study, cells),
            questions_section(study),
            _sources(study, cells),
        ]
    )


def _summary(study: Study, cells: Sequence[Cell]) -> str:
    lengths = (
        "Of each cell the rows of its largest preset count (smoke, laptop, paper), and the newest of each seed. A "
        "laptop trains smaller networks for far shorter than the paper did, which by itself can set values apart: an "
        "embedding shorter than a mean cannot hold it."
    )
    errors = (
        "± of ours is the standard error over seeds; with one seed, over its test datasets. The paper's ± is as "
        "printed, and none where none is printed."
    )
    return "\n\n".join(["## Summary", counts_table(study, cells), lengths, training_lengths(study),
                        "## How to read the verdicts", RULE, TRAP, errors])  # fmt: skip


def _sources(study: Study, cells: Sequence[Cell]) -> str:
    parts = ["## Where the numbers come from"]
    if not study.all_rows:
        return "\n\n".join([*parts, "No rows yet."])
    presets = dict.fromkeys(row["preset"] for row in study.all_rows)
    parts.append(
        "`posterity bench run --preset PRESET` adds the rows that are missing to `benchmarks/results/study.jsonl`."
    )
    parts.append(table(["preset", "rows", "sources"], [_source_line(study.all_rows, preset) for preset in presets]))
    known = {cell.key[:2] for cell in cells}
    if other := sorted({", ".join(key[:2]) for key in study if key[:2] not in known}):
        parts.append(f"Measured, but in none of the paper's tables: {'; '.join(other)}.")
    return "\n\n".join(parts)


def _source_line(rows: Sequence[Row], preset: str) -> list[str]:
    chosen = [row for row in rows if row["preset"] == preset]
    return [preset, str(len(chosen)), provenance(chosen)]


def main() -> None:
    """Writes the page and its figures."""
    study, cells = Study(read("study")), read_cells()
    for name in figures(study, cells):
        draw(study, cells, name)
    STUDY_PAGE.write_text(page(study, cells) + "\n")


if __name__ == "__main__":
    main()
