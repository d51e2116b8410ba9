"""Forest plot as a table: one line per latent, its prior behind its posterior, the numbers beside."""

import html
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from posterity.report.density import padded_range
from posterity.report.latent import Latent
from posterity.report.svg import tick_text, ticks
from posterity.results.table import number_text

__all__ = ["MAX_LATENTS", "forest_table"]

MAX_LATENTS = 60
WIDEST = 2.5
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def forest_table(latents: Sequence[Latent], summary: Mapping[str, Mapping[str, float]]) -> str:
    """The HTML of the table; every site has an axis of its own.

    Args:
        latents: Those to show.
        summary: Label -> `mean`, `sd`, `q05` and `q95`.
    """
    body = []
    for _, group in groupby(latents, key=lambda latent: latent.site):
        members = list(group)
        shown = [latent for latent in members if latent.is_shown]
        if shown:
            low, high = _range(shown)
            body.append(f'<tr class="scale"><td></td><td class="plot">{_scale(low, high)}</td><td></td><td></td></tr>')
        for latent in members:
            picture = _line(latent, low, high) if latent.is_shown else ""
            body.append(_row(latent, summary[latent.label], picture))
    head = (
        '<tr><th scope="col">latent</th><td class="plot"></td><th scope="col">mean</th>'
        '<th scope="col">middle 90%</th></tr>'
    )
    return f'<table class="forest"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'


def _range(latents: Sequence[Latent]) -> tuple[float, float]:
    """Holds the posteriors of all; towards zero and the priors as far as `WIDEST` times that width."""
    low = min(padded_range(latent.posterior, 0.01)[0] for latent in latents)
    high = max(padded_range(latent.posterior, 0.01)[1] for latent in latents)
    priors = [q for latent in latents if len(latent.prior) for q in np.quantile(latent.prior, [0.03, 0.97])]
    reach = (WIDEST - 1.0) / 2.0 * (high - low)
    return max(min(low, 0.0, *priors), low - reach), min(max(high, 0.0, *priors), high + reach)


def _row(latent: Latent, numbers: Mapping[str, float], picture: str) -> str:
    mean, low, high = (number_text(numbers[name], numbers["sd"]) for name in ("mean", "q05", "q95"))
    return (
        f'<tr><th scope="row">{html.escape(latent.label)}</th><td class="plot">{picture}</td>'
        f'<td class="number">{_minus(mean)}</td><td class="number">{_minus(low)} to {_minus(high)}</td></tr>'
    )


def _scale(low: float, high: float) -> str:
    marks = ticks(low, high, most=4)
    middle = 'y="13" text-anchor="middle"'
    texts = [
        f'<text class="tick" x="{_percent(value, low, high)}" {middle}>{tick_text(value, marks)}</text>'
        for value in marks
    ]
    return f'<svg class="line" height="18" aria-hidden="true">{"".join(texts)}</svg>'


def _line(latent: Latent, low: float, high: float) -> str:
    """Pale band: middle 90% of the prior. Thin and thick line: middle 90% and 50% of the posterior. Dot: median."""
    q05, q25, q50, q75, q95 = np.quantile(latent.posterior, LEVELS)
    marks = [_segment("grid", value, value, 0, 24, low, high) for value in ticks(low, high, most=4)]
    if len(latent.prior):
        before = np.clip(np.quantile(latent.prior, [0.05, 0.95]), low, high)
        left, width = _percent(before[0], low, high), f"{100 * (before[1] - before[0]) / (high - low):.2f}%"
        marks.append(f'<rect class="prior-band" x="{left}" width="{width}" y="4" height="16"/>')
    if low < 0.0 < high:
        marks.append(_segment("zero", 0.0, 0.0, 0, 24, low, high))
    marks.append(_segment("thin", q05, q95, 12, 12, low, high))
    marks.append(_segment("thick", q25, q75, 12, 12, low, high))
    marks.append(f'<circle class="median" cx="{_percent(q50, low, high)}" cy="12" r="4"/>')
    return f'<svg class="line" height="24" aria-hidden="true">{"".join(marks)}</svg>'


def _segment(kind: str, start: float, end: float, top: int, bottom: int, low: float, high: float) -> str:
    ends = f'x1="{_percent(start, low, high)}" x2="{_percent(end, low, high)}"'
    return f'<line class="{kind}" {ends} y1="{top}" y2="{bottom}"/>'


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}") if len(text) > 1 else text
