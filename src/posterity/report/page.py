"""The report: one HTML file that needs nothing else, verdict first."""

import datetime
import html
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from posterity.files import replacing
from posterity.report.check import predictive_check
from posterity.report.draws import Latent, latents_of
from posterity.report.forest import MAX_LATENTS, forest_table
from posterity.report.marginals import MAX_MARGINALS, marginal_panels, pair_panels
from posterity.report.words import verdict_words
from posterity.results import Answer, summarise_answer
from posterity.results.table import k_hat_text, number_text
from posterity.table_answer import TableAnswer
from posterity.table_dataset import TableDataset

__all__ = ["report_html", "write_report"]

_KEY = {
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
}


def write_report(
    found: TableAnswer | Answer,
    path: str | Path,
    *,
    title: str | None = None,
    command: str | None = None,
    seed: int = 0,
) -> None:
    """Writes the report of one answer, replacing what is there.

    The file is HTML with its style and figures inside: it opens in any browser without a network.

    Args:
        found: What `posterity.infer` or `Estimator.infer` returned.
        path: The file.
        title: Heading; the model and the number of rows if None.
        command: How the answer was made, for the last section.
        seed: The seed of the answer, for the last section; it also decides the prior and replicated draws.

    Raises:
        InputError: The answer has no model, or `path` cannot be written.
    """
    text = report_html(found, title=title, command=command, seed=seed)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def report_html(
    found: TableAnswer | Answer, *, title: str | None = None, command: str | None = None, seed: int = 0
) -> str:
    """The report as text; see `write_report`."""
    answer, data = (found.answer, found.data) if isinstance(found, TableAnswer) else (found, None)
    original_units = found.original_units if isinstance(found, TableAnswer) else None
    latents = latents_of(answer, seed)
    summary = summarise_answer(answer)
    said = verdict_words(answer)
    sections = [
        _card("What to know", _listed(_remarks(answer, data))),
        _card("What the data say", *_forest(latents, summary)),
        _original(original_units),
        _card("Each latent against its prior", *_marginals(latents)),
        _pairs(latents),
        _card("Would this model make such data?", *_check(answer, data, seed)),
        _card("How it was made", _made(answer, command, seed)),
    ]
    here = resources.files(__package__ or "posterity.report")
    return Template((here / "template.html").read_text(encoding="utf-8")).substitute(
        version=html.escape(_version("posterity")),
        title=html.escape(title or f"{answer.model}, {answer.num_rows} rows"),
        style=(here / "style.css").read_text(encoding="utf-8"),
        verdict=answer.verdict,
        headline=html.escape(said.headline),
        explanation=html.escape(said.explanation),
        limits=html.escape(said.limits),
        facts=_facts(answer, latents),
        sections="\n".join(section for section in sections if section),
    )


def _facts(answer: Answer, latents: Sequence[Latent]) -> str:
    facts = [("rows", f"{answer.num_rows:,}"), ("latents", f"{len(latents):,}")]
    if answer.log_q is not None:
        share = f"{answer.weights.ess:,.0f} <small>of {answer.num_draws:,}</small>"
        facts += [("effective draws (ESS)", share), ("Pareto k-hat", html.escape(k_hat_text(answer.weights.pareto_k)))]
    else:
        facts.append(("draws", f"{answer.num_draws:,}"))
    facts.append(("time, with compilation", f"{answer.seconds:.3g} <small>s</small>"))
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)


def _remarks(answer: Answer, data: TableDataset | None) -> list[str]:
    """Reasons of the verdict, then what was done to the table."""
    remarks = list(answer.reasons)
    if not remarks:
        remarks.append(
            "The dataset lies inside what the estimator was made for, and nothing speaks against the weights."
        )
    if data is None:
        return remarks
    if data.scaling is not None:
        remarks.append("Real columns were z-scored (mean 0, standard deviation 1); latents are on that scale.")
    if data.dropped_rows:
        remarks.append(f"{data.dropped_rows} rows with missing values were left out.")
    if data.unused:
        remarks.append(f"The model does not take these columns: {', '.join(data.unused)}.")
    if data.classes:
        codes = ", ".join(f"{code} = {label}" for code, label in enumerate(data.classes))
        remarks.append(f"Classes of '{data.target}': {codes}.")
    return remarks


def _forest(latents: Sequence[Latent], summary: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    yield _key("thick", "thin", "prior-band")
    yield forest_table(latents[:MAX_LATENTS], summary)
    if len(latents) > MAX_LATENTS:
        yield f'<p class="lead">The first {MAX_LATENTS} of {len(latents)} latents are shown.</p>'
    spoilt = [latent.label for latent in latents if not latent.is_finite]
    if spoilt:
        names = html.escape(", ".join(spoilt))
        yield f'<p class="lead">Some draws are not finite and left out of the figures: {names}.</p>'


def _original(summary: Mapping[str, Mapping[str, float]] | None) -> str:
    if summary is None:
        return ""
    rows = []
    for label, numbers in list(summary.items())[:MAX_LATENTS]:
        mean, low, high = (number_text(numbers[name], numbers["sd"]) for name in ("mean", "q05", "q95"))
        cells = f'<td class="number">{mean}</td><td class="number">{low} to {high}</td>'
        rows.append(f'<tr><th scope="row">{html.escape(label)}</th>{cells.replace("-", chr(0x2212))}</tr>')
    head = '<tr><th scope="col">latent</th><th scope="col">mean</th><th scope="col">middle 90%</th></tr>'
    words = "The same latents, for columns as they stand in the table."
    table = f'<table class="numbers"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return _card("In the units of the table", f'<p class="lead">{words}</p>', table)


def _marginals(latents: Sequence[Latent]) -> Iterable[str]:
    shown = [latent for latent in latents if latent.is_shown][:MAX_MARGINALS]
    yield _key("posterior-line", "prior-line")
    yield f'<div class="panels">{marginal_panels(shown)}</div>'
    if len(latents) > len(shown):
        yield f'<p class="lead">{len(shown)} of {len(latents)} latents are shown.</p>'


def _pairs(latents: Sequence[Latent]) -> str:
    panels = pair_panels([latent for latent in latents if latent.is_shown and latent.is_finite])
    if not panels:
        return ""
    words = "Where the dots form a band, the data tell a combination of the two latents better than either alone."
    return _card("The most correlated pairs", f'<p class="lead">{words}</p>', f'<div class="panels">{panels}</div>')


def _check(answer: Answer, data: TableDataset | None, seed: int) -> Iterable[str]:
    scaling = None if data is None else data.scaling
    loc, scale = (0.0, 1.0) if scaling is None else (scaling.target_mean, scaling.target_sd)
    figures = predictive_check(
        answer,
        seed=seed,
        loc=loc,
        scale=scale,
        classes=() if data is None else data.classes,
        target="" if data is None else data.target or "",
    )
    yield (
        '<p class="lead">New datasets were drawn from the model, at draws of the posterior. Where the observed data '
        "differ clearly from them, the model misses something.</p>"
    )
    yield _key(*[kind for kind in _KEY if kind.startswith(("observed", "replicated")) and f'class="{kind}"' in figures])
    yield f'<div class="panels">{figures}</div>'


def _made(answer: Answer, command: str | None, seed: int) -> str:
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("jax", "numpyro", "arviz-stats"))
    made = {
        "model": html.escape(answer.model),
        "posterity": html.escape(_version("posterity")),
        "libraries": html.escape(f"{libraries}, Python {platform.python_version()}"),
        "draws": f"{answer.num_draws:,}",
        "seed": str(seed),
        "report written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    if answer.group is not None:
        made["group"] = html.escape(answer.group)
    if command is not None:
        made["command"] = f"<code>{html.escape(command)}</code>"
    return '<dl class="made">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in made.items()) + "</dl>"


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _card(heading: str, *parts: str) -> str:
    return f'<section class="card"><h2>{html.escape(heading)}</h2>{"".join(parts)}</section>'


def _listed(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _key(*kinds: str) -> str:
    """What each mark of the figures below means."""
    return '<ul class="key">' + "".join(f"<li>{_sample(kind)}{_KEY[kind]}</li>" for kind in kinds) + "</ul>"


def _sample(kind: str) -> str:
    marks = {
        "prior-band": '<rect class="prior-band" width="26" height="12"/>',
        "observed-bar": '<rect class="observed-bar" x="8" width="10" height="12"/>',
        "observed-dot": '<circle class="observed-dot" cx="13" cy="6" r="3.6"/>',
        "replicated-bar": '<line class="replicated-bar" x1="13" x2="13" y1="1" y2="11"/>',
    }
    mark = marks.get(kind, f'<line class="{kind}" x1="3" x2="23" y1="6" y2="6"/>')
    return f'<svg viewBox="0 0 26 12" aria-hidden="true">{mark}</svg>'
