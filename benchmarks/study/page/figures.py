"""Figures of the study: the paper's values, ours and the exact posterior's, column by column, and the two gaps.

White ground and dark marks, so that they read the same on a light page and a dark one.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from report_text import FIGURES

from study.judging.paper_cells import NETWORKS, Cell, label
from study.judging.values import Study
from study.judging.verdicts import reference_of
from study.page.gaps import Gap, gaps

__all__ = ["CAPTIONS", "draw", "figures"]

CAPTIONS = {
    "study_table_1": "Table 1: expected L2 or accuracy, ours, the paper's and the exact posterior's",
    "study_table_2": "Table 2: expected L2 or accuracy, ours, the paper's and the exact posterior's",
    "study_symmetric_kl": "Table 5: symmetric KL per latent, ours, the paper's and the best diagonal Gaussian's",
    "study_gaps": "Amortization gap and family gap in nats per dataset",
}
TABLES = {"study_table_1": "1", "study_table_2": "2", "study_symmetric_kl": "5"}
WIDE = 10.0  # a panel whose values differ by more has a logarithmic axis
PAPER, OURS, REFERENCE = "#c0504d", "#1f4e9c", "#444444"
SHORT = {"prior": "prior", "mle": "max. likelihood", "langevin": "Langevin", "hmc": "HMC"}


def figures(study: Study, cells: Sequence[Cell]) -> list[str]:
    """Names of the figures for which there are rows."""
    measured = {cell.table for cell in cells if study.estimate(cell.key, cell.measure)}
    names = [name for name, table in TABLES.items() if table in measured]
    return [*names, *(["study_gaps"] if gaps(study) else [])]


def draw(study: Study, cells: Sequence[Cell], name: str, folder: Path = FIGURES) -> None:
    """Draws one figure into the folder; the same rows give the same file."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "posterity", "font.size": 8, "svg.fonttype": "none"}):
        figure = (
            _gap_figure(gaps(study))
            if name == "study_gaps"
            else _dot_figure(study, [cell for cell in cells if cell.table == TABLES[name]])
        )
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, facecolor="white")


def _dot_figure(study: Study, cells: Sequence[Cell]):
    """A panel for each column, a line for each method."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(cell.method for cell in cells))[::-1]
    columns = dict.fromkeys(cell.column for cell in cells)
    panels = [(column, [cell for cell in cells if cell.column == column]) for column in columns]
    figure = Figure(figsize=(9.5, 1.2 + 0.17 * len(methods) * math.ceil(len(panels) / 4)), layout="constrained")
    grid = figure.subplots(math.ceil(len(panels) / 4), 4, sharey=True, squeeze=False)
    for axes, (column, found) in zip(grid.flat, panels, strict=False):
        _dots(axes, study, found, methods)
        axes.set_title(column)
    grid.flat[0].set_yticks(range(len(methods)), [_short(method) for method in methods])
    told = {}
    for axes in grid.flat:  # a panel without a reference has no line for it
        told |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(told.values(), told.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _dots(axes, study: Study, cells: Sequence[Cell], methods: Sequence[str]) -> None:
    places = [methods.index(cell.method) for cell in cells]
    axes.plot([cell.value for cell in cells], places, "o", mfc="none", color=PAPER, ms=4.5, label="paper")
    found = [(study.estimate(cell.key, cell.measure), place) for cell, place in zip(cells, places, strict=True)]
    known = [(e, place) for e, place in found if e is not None and math.isfinite(e.value)]
    axes.errorbar([e.value for e, _ in known], [p for _, p in known], xerr=[e.error for e, _ in known], fmt="D",
                  color=OURS, ms=3, lw=0.8, label="ours (± standard error)")  # fmt: skip
    reference = reference_of(study, cells[0].setup, cells[0].column, cells[0].measure)
    if reference is not None:
        axes.axvline(reference.value, color=REFERENCE, ls="--", lw=0.8, label="reference named in the table")
    values = [cell.value for cell in cells]
    if cells[0].measure != "accuracy" and max(values) > WIDE * min(values):
        _logarithmic(axes, max(values) / min(values))
    axes.grid(alpha=0.3)


def _logarithmic(axes, ratio: float) -> None:
    """A logarithmic axis with a few plain numbers on it."""
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if ratio < WIDE**3 else (1.0,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _gap_figure(found: Sequence[Gap]):
    """Bars: what amortization costs beside what the family costs."""
    from matplotlib.figure import Figure

    found = sorted(found, key=lambda gap: gap.key)
    names = [f"{gap.key.setup} {gap.key.column}: {_short(gap.key.method)}" for gap in found]
    figure = Figure(figsize=(8.5, 1.0 + 0.17 * len(found)), layout="constrained")
    panels = (("amortization gap", OURS, [gap.amortization for gap in found]),
              ("family gap", PAPER, [gap.family for gap in found]))  # fmt: skip
    grid = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (title, color, values) in zip(grid, panels, strict=True):
        axes.barh(range(len(found)), [max(value or 0.0, 0.0) for value in values], color=color)
        axes.set(title=title, xlabel="nats per dataset")
        axes.set_xscale("symlog", linthresh=1.0)
        axes.grid(axis="x", alpha=0.3)
    grid[0].set_yticks(range(len(found)), names)
    grid[0].invert_yaxis()
    return figure


def _short(method: str) -> str:
    if method not in NETWORKS:
        return SHORT.get(method, label(method))
    return label(method).replace("diagonal Gaussian", "Gaussian").replace(" KL", "")
