"""What every report is made of: one HTML file that needs nothing else, its verdict first, then cards."""

import datetime
import html
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template
from typing import NamedTuple

__all__ = ["MARKS", "Verdict", "card", "key", "listed", "made", "sheet"]

MARKS = {
    "posterior-line": "posterior",
    "prior-line": "prior",
    "thick": "middle 50% of the posterior",
    "thin": "middle 90% of the posterior",
    "prior-band": "middle 90% of the prior, cut at the edge",
    "observed-line": "observed",
    "replicated-line": "replicated",
    "observed-dot": "observed",
    "observed-bar": "observed",
    "replicated-bar": "90% of replicated data",
    "corrected-line": "corrected answers",
    "raw-line": "q as it is",
    "latent-line": "single latents, corrected",
    "likely-band": "where 95% of exact curves stay",
    "allowed-band": "where all but the rarest stay: beyond it, the cell is marked",
}
"""CSS class of each mark in the figures -> what it means."""


class Verdict(NamedTuple):
    """The box at the top.

    Attributes:
        tone: CSS class: `corrected` (good), `refined` (so-so) or `untrusted` (bad).
        badge: One or two words.
        headline: One short sentence.
        explanation: What was found.
        limits: What it does not say.
    """

    tone: str
    badge: str
    headline: str
    explanation: str
    limits: str


def sheet(*, kind: str, title: str, verdict: Verdict, facts: Iterable[tuple[str, str]], sections: Iterable[str]) -> str:
    """The whole file.

    Args:
        kind: What sort of report it is.
        title: Its heading.
        verdict: The box at the top.
        facts: Name and HTML of each key number.
        sections: HTML of the cards; empty ones are left out.
    """
    here = resources.files(__package__ or "posterity.report")
    return Template((here / "template.html").read_text(encoding="utf-8")).substitute(
        {name: html.escape(value) for name, value in verdict._asdict().items()},
        kind=html.escape(kind),
        version=html.escape(_version("posterity")),
        title=html.escape(title),
        style=(here / "style.css").read_text(encoding="utf-8"),
        facts="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts),
        sections="\n".join(section for section in sections if section),
    )


def card(heading: str, *parts: str) -> str:
    """A section with a heading."""
    return f'<section class="card"><h2>{html.escape(heading)}</h2>{"".join(parts)}</section>'


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def key(*kinds: str) -> str:
    """What each mark of the figures below means."""
    return '<ul class="key">' + "".join(f"<li>{_sample(kind)}{MARKS[kind]}</li>" for kind in kinds) + "</ul>"


def made(facts: Mapping[str, str], command: str | None) -> str:
    """How a report was made: `facts`, versions, date and command."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("jax", "numpyro", "arviz-stats"))
    rows = {name: html.escape(value) for name, value in facts.items()} | {
        "posterity": html.escape(_version("posterity")),
        "libraries": html.escape(f"{libraries}, Python {platform.python_version()}"),
        "report written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    if command is not None:
        rows["command"] = f"<code>{html.escape(command)}</code>"
    return '<dl class="made">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in rows.items()) + "</dl>"


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _sample(kind: str) -> str:
    marks = {
        "prior-band": '<rect class="prior-band" width="26" height="12"/>',
        "likely-band": '<rect class="likely-band" width="26" height="12"/>',
        "allowed-band": '<rect class="allowed-band" width="26" height="12"/>',
        "observed-bar": '<rect class="observed-bar" x="8" width="10" height="12"/>',
        "observed-dot": '<circle class="observed-dot" cx="13" cy="6" r="3.6"/>',
        "replicated-bar": '<line class="replicated-bar" x1="13" x2="13" y1="1" y2="11"/>',
    }
    mark = marks.get(kind, f'<line class="{kind}" x1="3" x2="23" y1="6" y2="6"/>')
    return f'<svg viewBox="0 0 26 12" aria-hidden="true">{mark}</svg>'
