"""A posterior in a notebook: verdict, key numbers and a forest, in the look of the report."""

import functools
import html
import re
from collections.abc import Mapping
from importlib import resources

import numpy as np

from posterity.report.forest import forest_table
from posterity.report.latent import Latent
from posterity.report.sheet import key, listed
from posterity.report.words import verdict_words
from posterity.results.data import PosteriorData
from posterity.results.summary import columns_as_usual, usual_summary
from posterity.results.table import k_hat_text

__all__ = ["posterior_html", "posteriors_html"]

MOST_LATENTS, MOST_REASONS, MOST_DATASETS = 12, 3, 12


def posterior_html(posterior: PosteriorData) -> str:
    """One posterior as a fragment of HTML, its style inside."""
    name = "" if posterior.name is None else f"{posterior.name}: "
    heading = html.escape(f"{name}{posterior.model.name}, {posterior.size_in_words}")
    if posterior.verdict == "unanswered":
        return _framed(f"<h2>{heading}</h2>", _verdict_box("untrusted", "unanswered", listed(posterior.reasons)))
    words = html.escape(verdict_words(posterior).headline)
    reasons = listed(posterior.reasons[:MOST_REASONS]) if posterior.reasons else ""
    numbers = (
        f'<p class="lead">{posterior.num_draws:,} draws, effective sample size {posterior.ess:,.0f}, Pareto k-hat '
        f"{html.escape(k_hat_text(posterior.pareto_k))}</p>"
    )
    return _framed(
        f"<h2>{heading}</h2>",
        _verdict_box(posterior.verdict, posterior.verdict, f" {words}{reasons}"),
        numbers,
        _forest(posterior),
    )


def posteriors_html(posteriors: Mapping[str, PosteriorData], told: str) -> str:
    """Posteriors of many datasets: how many of each verdict, and a line for each of the first.

    Args:
        posteriors: Name -> posterior.
        told: What there is, in one line.
    """
    worst_first = sorted(posteriors.items(), key=lambda item: item[1].verdict in ("corrected", "refined"))
    rows = [
        f'<tr><th scope="row">{html.escape(name)}</th><td class="number">{posterior.num_rows:,}</td>'
        f"<td>{posterior.verdict}</td><td>{html.escape(posterior.reasons[0] if posterior.reasons else '')}</td></tr>"
        for name, posterior in worst_first[:MOST_DATASETS]
    ]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("dataset", "rows", "verdict", "first reason"))
    more = len(posteriors) - len(rows)
    return _framed(
        f"<h2>{html.escape(told)}</h2>",
        f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>',
        f'<p class="lead">{more:,} more datasets are not shown.</p>' if more > 0 else "",
    )


def _verdict_box(tone: str, badge: str, body: str) -> str:
    return f'<section class="verdict {tone}"><span class="badge">{badge}</span>{body}</section>'


def _forest(posterior: PosteriorData) -> str:
    summary = usual_summary(posterior)
    shown = dict(list(columns_as_usual(posterior, posterior.draws).items())[:MOST_LATENTS])
    latents = []
    for label, column in shown.items():
        finite = column[np.isfinite(column)]
        latents.append(Latent(label, label.partition("[")[0], finite, np.zeros(0), len(finite) == len(column)))
    more = len(summary) - len(latents)
    left_out = f'<p class="lead">{more:,} more latents are not shown.</p>' if more > 0 else ""
    return key("thick", "thin") + forest_table(latents, summary) + left_out


def _framed(*parts: str) -> str:
    return f'<div class="posterity"><style>{_style()}</style>{"".join(parts)}</div>'


@functools.cache
def _style() -> str:
    """The report's style inside a notebook, in the colours of its light or dark theme, where that is told."""
    text = (resources.files("posterity.report") / "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    rest = text.split("* { box-sizing", 1)[1].split("}", 1)[1]
    rest = re.sub(r"^(body|main|header) \{.*?\}\n", "", rest, flags=re.DOTALL | re.MULTILINE)
    rest = re.sub(r"@media print \{.*\}\n", "", rest)
    return (
        f".posterity {{{light} color: var(--ink); background: var(--card); "
        f"max-width: 900px; padding: 12px 16px; border-radius: 10px; line-height: 1.5; }}"
        f"@media (prefers-color-scheme: dark) {{ .posterity {{{dark}}} }}"
        f'body[data-jp-theme-light="true"] .posterity {{{light}}}'
        f'body[data-jp-theme-light="false"] .posterity {{{dark}}}'
        f".posterity {{ {rest} }}"
    )
