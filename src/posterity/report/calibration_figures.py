"""Figures of a calibration report: ranks, coverage, recovery, z-scores."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from posterity.calibration.comparison import Comparison
from posterity.calibration.contraction import z_score
from posterity.calibration.judgement import FALSE_ALARM, JUDGES, LOG_JOINT
from posterity.calibration.outcome import cell_name
from posterity.calibration.report import CellReport
from posterity.calibration.uniformity import ecdf, simultaneous_band, uniformity_p_value
from posterity.report.density import padded_range
from posterity.report.svg import Panel, figure

__all__ = ["coverage_panels", "p_text", "rank_panels", "recovery_panels", "z_score_panels"]

MAX_RANK_PANELS = 6
MAX_RANKS_PER_CELL = 2
MAX_COVERAGE_CELLS = 3
MAX_SITES = 6
MAX_DOTS = 400
MAX_INTERVALS = 120
MAX_LATENT_LINES = 20
LIKELY = 0.95
WIDEST_Z = 4.0


def p_text(p_value: float) -> str:
    """A p-value in few digits."""
    return "<0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def rank_panels(reports: Sequence[CellReport]) -> str:
    """Differences between the ranks' distribution function and the uniform one: the most uneven first."""
    found = []
    for report in reports:
        found += sorted(_quantities(report), key=_order)[:MAX_RANKS_PER_CELL]
    return "".join(_ranks(one) for one in sorted(found, key=_order)[:MAX_RANK_PANELS])


def coverage_panels(reports: Sequence[CellReport]) -> str:
    """For the cells with the smallest p-values: coverage of regions around random points, and of intervals."""
    worst = sorted(reports, key=lambda one: (one.corrected is None, (one.corrected or one.raw).p_value))
    worst = worst[:MAX_COVERAGE_CELLS]
    return "".join([*map(_tarp, worst), *map(_intervals, worst)])


def recovery_panels(report: CellReport) -> str:
    """Posterior means with 90% intervals against the truth, one panel per site."""
    found = report.details.raw if report.details.corrected is None else report.details.corrected
    return "".join(_recovery(site, columns, found) for site, columns in _by_site(report.details.labels))


def z_score_panels(reports: Sequence[CellReport]) -> str:
    """z-scores of q as it is against contraction, all cells together, one panel per site."""
    pooled: dict[str, list[np.ndarray]] = {}
    for report in reports:
        raw = report.details.raw
        z = z_score(raw.true, raw.mean, raw.sd)
        for site, columns in _by_site(report.details.labels):
            both = np.stack([report.details.contraction[:, columns].ravel(), z[:, columns].ravel()])
            pooled.setdefault(site, []).append(both[:, np.isfinite(both).all(axis=0)])
    panels = {site: np.concatenate(parts, axis=1) for site, parts in pooled.items()}
    return "".join(_z_scores(site, *values) for site, values in panels.items() if values.size)


class _Quantity(NamedTuple):
    """Ranks of one scalar in one cell: of q as it is, and of corrected answers where there are enough."""

    name: str
    raw: np.ndarray
    corrected: np.ndarray | None
    p_value: float
    level: float


def _order(one: _Quantity) -> tuple[bool, float]:
    """What people rely on first, the most uneven first."""
    return one.corrected is None, one.p_value


def _quantities(report: CellReport) -> Iterator[_Quantity]:
    details = report.details
    labels = [*details.labels, LOG_JOINT]
    raw = _rank_columns(details.raw)
    corrected = [None] * len(labels) if details.corrected is None else _rank_columns(details.corrected)
    for label, before, after in zip(labels, raw, corrected, strict=True):
        p_value = uniformity_p_value(before if after is None else after)
        name = f"{label}: {cell_name(report)}"
        yield _Quantity(name, before, after, min(1.0, p_value * len(labels)), _allowed(len(labels)))


def _rank_columns(found: Comparison) -> list[np.ndarray]:
    return [*found.ranks.T, found.log_joint_rank]


def _allowed(num_quantities: int) -> float:
    """Level of the band beyond which SBC marks a cell."""
    return 1.0 - FALSE_ALARM / (JUDGES * num_quantities)


def _ranks(one: _Quantity) -> str:
    curves = {"raw-line": one.raw, **({} if one.corrected is None else {"corrected-line": one.corrected})}
    size = len(one.raw if one.corrected is None else one.corrected)
    points, low, high = simultaneous_band(size, one.level)
    _, inner_low, inner_high = simultaneous_band(size, LIKELY)
    differences = {kind: ecdf(ranks, points) - points for kind, ranks in curves.items()}
    top = 1.06 * max(np.abs(part).max() for part in (low - points, high - points, *differences.values()))
    words = f"Distribution of the ranks of {one.name}, minus the uniform one, and the bands of exact posteriors"
    minus = "share \N{MINUS SIGN} rank"
    panel = Panel((0.0, 1.0), (-top, top), x_label="rank of the truth", y_label=minus, description=words)
    xs = np.r_[0.0, points, 1.0]
    panel.band(xs, _ended(low - points), _ended(high - points), "allowed-band")
    panel.band(xs, _ended(inner_low - points), _ended(inner_high - points), "likely-band")
    for kind, difference in differences.items():
        panel.line(xs, _ended(difference), kind)
    return figure(panel, f"{one.name}; p {_equals(one.p_value)}")


def _ended(inner: np.ndarray) -> np.ndarray:
    return np.r_[0.0, inner, 0.0]


def _equals(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _tarp(report: CellReport) -> str:
    raw, corrected = report.details.raw, report.details.corrected
    found = f"p {_equals((report.corrected or report.raw).tarp_p_value)}"
    level = 1.0 - FALSE_ALARM / JUDGES
    after = None if corrected is None else corrected.distance_rank[:, None]
    name = f"All latents together (TARP): {cell_name(report)}"
    return _curves(name, raw.distance_rank[:, None], after, found, level)


def _intervals(report: CellReport) -> str:
    raw, corrected = report.details.raw, report.details.corrected
    judged = report.corrected or report.raw
    found = ", ".join(f"{level}% intervals hold {judged.coverage[level].mean:.0%}" for level in ("50", "90"))
    after = None if corrected is None else np.abs(2.0 * corrected.ranks - 1.0)
    return _curves(f"Single latents: {cell_name(report)}", np.abs(2.0 * raw.ranks - 1.0), after, found)


def _curves(name: str, raw: np.ndarray, corrected: np.ndarray | None, found: str, level: float | None = None) -> str:
    """Share of truths inside regions of each credibility; ranks have one column per latent.

    The bands are those of one column: a mean over latents varies less.
    """
    judged = raw if corrected is None else corrected
    points, low, high = simultaneous_band(len(judged), LIKELY)
    xs = np.r_[0.0, points, 1.0]
    panel = Panel(
        (0.0, 1.0), (0.0, 1.0), x_label="credibility", y_label="truths inside", description=f"{name}: {found}"
    )
    if level is not None:
        _, lowest, highest = simultaneous_band(len(judged), level)
        panel.band(xs, np.r_[0.0, lowest, 1.0], np.r_[0.0, highest, 1.0], "allowed-band")
    panel.band(xs, np.r_[0.0, low, 1.0], np.r_[0.0, high, 1.0], "likely-band")
    panel.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "zero")
    if judged.shape[1] > 1:
        for column in judged.T[:MAX_LATENT_LINES]:
            panel.line(xs, np.r_[0.0, ecdf(column, points), 1.0], "latent-line")
    panel.line(xs, np.r_[0.0, ecdf(raw.ravel(), points), 1.0], "raw-line")
    if corrected is not None:
        panel.line(xs, np.r_[0.0, ecdf(corrected.ravel(), points), 1.0], "corrected-line")
    return figure(panel, f"{name}; {found}")


def _by_site(labels: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Sites, the first few, and the columns of their scalars."""
    sites: dict[str, list[int]] = {}
    for column, label in enumerate(labels):
        sites.setdefault(label.partition("[")[0], []).append(column)
    return list(sites.items())[:MAX_SITES]


def _recovery(site: str, columns: Sequence[int], found: Comparison) -> str:
    true, mean, low, high = (part[:, columns] for part in (found.true, found.mean, found.low, found.high))
    known = np.isfinite(np.stack([true, mean, low, high])).all(axis=(0, 2))
    if known.sum() < 2:
        return ""
    true, mean, low, high = (part[known].ravel() for part in (true, mean, low, high))
    inside = np.mean((true >= low) & (true <= high))
    spread = np.ptp(mean) * np.ptp(true)
    correlation = float(np.corrcoef(true, mean)[0, 1]) if spread > 0.0 else 0.0
    ends = padded_range(np.concatenate([true, mean]), 0.005)
    panel = Panel(
        ends,
        ends,
        x_label=f"true {site}",
        y_label="posterior mean",
        description=f"Posterior means and 90% intervals of {site} against the truth, correlation {correlation:.2f}",
    )
    panel.line(np.array(ends), np.array(ends), "zero")
    shown = np.unique(np.linspace(0, len(true) - 1, min(len(true), MAX_INTERVALS)).round().astype(int))
    shown = shown[(np.clip(true, *ends) == true)[shown] & (np.clip(mean, *ends) == mean)[shown]]
    panel.upright(true[shown], np.clip(low[shown], *ends), np.clip(high[shown], *ends), "recovery-interval")
    panel.dots(true[shown], mean[shown], "recovery-dot", radius=2.2)
    words = f"{site}: correlation {correlation:.2f}, 90% intervals hold {inside:.0%}"
    return figure(panel, words.replace("-", "\N{MINUS SIGN}"))


def _z_scores(site: str, contraction: np.ndarray, z: np.ndarray) -> str:
    rms = float(np.sqrt(np.mean(z**2)))
    every = max(1, len(z) // MAX_DOTS)
    low = float(np.clip(np.quantile(contraction, 0.01), -1.0, 0.0)) - 0.04
    panel = Panel(
        (low, 1.04),
        (-WIDEST_Z, WIDEST_Z),
        x_label="contraction",
        y_label="z-score",
        description=f"z-scores of {site} against contraction: root mean square {rms:.2f}",
    )
    for level in (-2.0, 0.0, 2.0):
        panel.line(np.array([low, 1.04]), np.full(2, level), "zero")
    xs, ys = contraction[::every], np.clip(z[::every], -WIDEST_Z, WIDEST_Z)
    panel.dots(xs[xs >= low], ys[xs >= low], "draw", radius=1.8)
    return figure(panel, f"{site}: root mean square z-score {rms:.2f}")
