"""The report of a calibration check: one HTML file that needs nothing else, verdict first."""

import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from posterity.calibration.judgement import FALSE_ALARM, Judgement
from posterity.calibration.outcome import cell_name, outcome_of
from posterity.calibration.report import CellReport
from posterity.report.calibration_figures import (
    coverage_panels,
    p_text,
    rank_panels,
    recovery_panels,
    z_score_panels,
)
from posterity.report.sheet import MARKS, Verdict, card, key, listed, made, sheet
from posterity.runtime.files import replacing

__all__ = ["check_report_html", "write_check_report"]

TONES = {
    "calibrated": "corrected",
    "partly judged": "refined",
    "not judged": "untrusted",
    "not calibrated": "untrusted",
}


def write_check_report(
    reports: Sequence[CellReport],
    path: str | Path,
    *,
    model: str,
    notes: Sequence[str] = (),
    command: str | None = None,
    seed: int = 0,
    seconds: float | None = None,
) -> None:
    """Writes the report of all cells, replacing what is there.

    The file is HTML with its style and figures inside: it opens in any browser without a network.

    Args:
        reports: What `calibrate` found in each cell, at least one.
        path: The file.
        model: Name of the model.
        notes: Sentences for the list of what to know.
        command: How the check was run, for the last section.
        seed: Its seed, for the last section.
        seconds: How long it took.

    Raises:
        InputError: `path` cannot be written.
    """
    text = check_report_html(reports, model=model, notes=notes, command=command, seed=seed, seconds=seconds)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def check_report_html(
    reports: Sequence[CellReport],
    *,
    model: str,
    notes: Sequence[str] = (),
    command: str | None = None,
    seed: int = 0,
    seconds: float | None = None,
) -> str:
    """The report as text; see `write_check_report`."""
    first = reports[0]
    middle = reports[len(reports) // 2]
    facts = [
        ("cells", f"{len(reports)}"),
        ("datasets in each", _num_datasets(reports)),
        ("draws for each dataset", f"{first.num_draws:,}"),
        *([] if seconds is None else [("time, with compilation", f"{seconds:.0f} <small>s</small>")]),
    ]
    settings = {
        "model": model,
        "datasets in each cell": _num_datasets(reports),
        "draws": f"{first.num_draws:,}",
        "seed": str(seed),
    }
    sections = [
        card("What to know", listed(_remarks(reports, notes))),
        card("Every cell", *_table(reports)),
        card("Where the weights are healthy", *_maps(reports)),
        card("Ranks of the truth", *_ranks(reports)),
        card("Truths inside regions and intervals", *_coverage(reports)),
        card(f"Recovery: {cell_name(middle)}", *_recovery(middle)),
        card("How much was learned, and in the right place?", *_z_scores(reports)),
        card("How it was made", made(settings, command)),
    ]
    return sheet(kind="Calibration report", title=model, verdict=_verdict(reports), facts=facts, sections=sections)


def _verdict(reports: Sequence[CellReport]) -> Verdict:
    outcome = outcome_of(reports)
    limits = (
        "This holds for datasets that the model makes, of these sizes. It says nothing about whether the model suits "
        "data of yours, and an error that shows in fewer than a few percent of the datasets can pass."
    )
    return Verdict(TONES[outcome.kind], outcome.kind, outcome.headline, outcome.explanation, limits)


def _num_datasets(reports: Sequence[CellReport]) -> str:
    fewest, most = min(r.num_datasets for r in reports), max(r.num_datasets for r in reports)
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _remarks(reports: Sequence[CellReport], notes: Sequence[str]) -> list[str]:
    expected = FALSE_ALARM * len(reports)
    remarks = [
        *notes,
        "'Corrected' are draws with their importance weights, of datasets whose verdict is 'corrected'. Answers that "
        "would be refined by sampling are not judged here.",
        "p-values of SBC are the smallest among all latents and the log joint, times their number.",
        f"A cell is marked where SBC, TARP or C2ST objects. For exact posteriors that happens in 1 of "
        f"{1 / FALSE_ALARM:.0f} cells at most: {expected:.1%} for this report.",
    ]
    few = [cell_name(report) for report in reports if report.corrected is None]
    if few:
        remarks.append(f"Too few answers are corrected to be judged, so figures show q as it is: {'; '.join(few)}.")
    return remarks


def _table(reports: Sequence[CellReport]) -> Iterable[str]:
    names = ("judged", "50% has", "90% has", "z-score", "SBC p", "TARP p", "C2ST")
    sizes = ["rows", *reports[0].cell.plates]
    columns = [*sizes, "draws", "", *names]
    num_left = len(sizes) + 2
    head = "".join(
        f'<th scope="col"{" class=name" if i < num_left else ""}>{html.escape(name)}</th>'
        for i, name in enumerate(columns)
    )
    body = []
    for report in reports:
        size = [report.cell.rows, *report.cell.plates.values()]
        own = "".join(f'<th scope="row" rowspan="2">{number}</th>' for number in size)
        body.append(f'<tr class="first">{own}{_judged("raw", report.raw)}</tr>')
        body.append(f"<tr>{_judged('corrected', report.corrected)}</tr>")
    yield (
        '<p class="lead">The exact posterior has 50% and 90% of the truths in its intervals, z-scores of root mean '
        "square 1, any p-value alike, and a C2ST of 50%.</p>"
    )
    table = f'<table class="cells"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    yield f'<div class="wide">{table}</div>'


def _judged(draws: str, judged: Judgement | None) -> str:
    if judged is None:
        return f'<td class="name">{draws}</td><td class="name">too few</td><td colspan="7"></td>'
    values = [
        str(judged.num_datasets),
        *(f"{judged.coverage[level].mean:.0%}" for level in ("50", "90")),
        f"{judged.z_score:.2f}",
        p_text(judged.sbc_p_value),
        p_text(judged.tarp_p_value),
        f"{judged.c2st.accuracy:.0%}",
    ]
    mark = '<span class="yes">calibrated</span>' if judged.calibrated else '<span class="no">not calibrated</span>'
    numbers = "".join(f"<td>{html.escape(value)}</td>" for value in values)
    return f'<td class="name">{draws}</td><td class="name">{mark}</td>{numbers}'


def _maps(reports: Sequence[CellReport]) -> Iterable[str]:
    yield (
        '<p class="lead">Median effective sample size (ESS) as a share of the draws, share of the datasets whose '
        "Pareto k-hat is healthy, and share whose verdict is 'corrected'.</p>"
    )
    maps = [
        _map("median ESS", reports, lambda report: report.ess_fraction),
        _map("k-hat healthy", reports, lambda report: report.healthy),
        _map("verdict 'corrected'", reports, lambda report: report.trusted),
    ]
    yield f'<div class="panels">{"".join(maps)}</div>'


def _map(name: str, reports: Sequence[CellReport], share: Callable[[CellReport], float]) -> str:
    """Rows of the datasets down, sizes of their plates across, as a table."""
    shares = {(report.cell.rows, tuple(report.cell.plates.values())): share(report) for report in reports}
    rows = sorted({num_rows for num_rows, _ in shares})
    across = sorted({sizes for _, sizes in shares})
    plates = " / ".join(reports[0].cell.plates)
    corner = "rows \N{DOWNWARDS ARROW}" + (f" {plates} \N{RIGHTWARDS ARROW}" if plates else "")
    head = "".join(f'<th scope="col">{" / ".join(map(str, sizes))}</th>' for sizes in across)
    body = "".join(
        f'<tr><th scope="row">{num_rows}</th>{"".join(_shade(shares.get((num_rows, sizes))) for sizes in across)}</tr>'
        for num_rows in rows
    )
    return (
        f'<table class="map"><caption>{html.escape(name)}</caption>'
        f'<thead><tr><th scope="col">{html.escape(corner)}</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _shade(share: float | None) -> str:
    return "<td></td>" if share is None else f'<td style="--share:{share:.3f}"><span>{share:.0%}</span></td>'


def _ranks(reports: Sequence[CellReport]) -> Iterable[str]:
    figures = rank_panels(reports)
    yield (
        '<p class="lead">If a posterior is right, the rank of the truth among its draws is equally likely to be any. '
        "The curve is the share of truths up to each rank, minus that rank: above zero on the left and below on the "
        "right, intervals are too narrow; the other way round, too wide; above zero throughout, the posterior lies "
        "too high. The most uneven come first, two of a cell at most.</p>"
    )
    yield _key_of(figures)
    yield f'<div class="panels">{figures}</div>'


def _coverage(reports: Sequence[CellReport]) -> Iterable[str]:
    figures = coverage_panels(reports)
    yield (
        '<p class="lead">On the diagonal, regions hold as many truths as they claim; below it they are too small. TARP '
        "takes regions around random points, for all latents together, so it sees wrong correlations, too. The cells "
        "with the smallest p-values are shown.</p>"
    )
    yield _key_of(figures)
    yield f'<div class="panels">{figures}</div>'


def _recovery(report: CellReport) -> Iterable[str]:
    yield '<p class="lead">Posterior means with 90% intervals, against the latents that made the data.</p>'
    yield f'<div class="panels">{recovery_panels(report)}</div>'


def _z_scores(reports: Sequence[CellReport]) -> Iterable[str]:
    yield (
        '<p class="lead">Each dot is a latent of one dataset, under q as it is. Contraction 0: the data tell nothing '
        "beyond the prior; 1: everything. The z-score is the error of the posterior mean in posterior standard "
        "deviations: beyond 2 in about 5% of the cases, wherever the dot lies.</p>"
    )
    yield f'<div class="panels">{z_score_panels(reports)}</div>'


def _key_of(figures: str) -> str:
    """The key of the marks that were drawn."""
    drawn = [kind for kind in MARKS if f'class="{kind}"' in figures]
    return key(*drawn)
