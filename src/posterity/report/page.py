"""The report: one HTML file that needs nothing else, verdict first."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from posterity.report.check import predictive_check
from posterity.report.draws import latents_of
from posterity.report.forest import MAX_LATENTS, forest_table
from posterity.report.latent import Latent
from posterity.report.marginals import MAX_MARGINALS, marginal_panels, pair_panels
from posterity.report.sheet import MARKS, Verdict, card, key, listed, made, sheet
from posterity.report.words import verdict_words
from posterity.results.data import PosteriorData
from posterity.results.fit import fit_of
from posterity.results.summary import summarise_in_table_units, summarise_posterior
from posterity.results.table import k_hat_text, number_text
from posterity.runtime.errors import InputError
from posterity.runtime.files import replacing

__all__ = ["report_html", "write_report"]


def write_report(
    posterior: PosteriorData,
    path: str | Path,
    *,
    title: str | None = None,
    command: str | None = None,
    seed: int = 0,
) -> None:
    """Writes the report of one answer, replacing what is there.

    The file is HTML with its style and figures inside: it opens in any browser without a network.

    Args:
        posterior: What `posterity.infer` or `Estimator.infer` returned.
        path: The file.
        title: Heading; the model and the number of rows if None.
        command: How the answer was made, for the last section.
        seed: The seed of the answer, for the last section; it also decides the prior and replicated draws.

    Raises:
        InputError: `path` cannot be written, or there is no posterior: the dataset could not be read.
    """
    text = report_html(posterior, title=title, command=command, seed=seed)
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def report_html(
    posterior: PosteriorData, *, title: str | None = None, command: str | None = None, seed: int = 0
) -> str:
    """The report as text; see `write_report`."""
    posterior.require_draws("report")
    latents = latents_of(posterior, seed)
    summary = summarise_posterior(posterior)
    said = verdict_words(posterior)
    sections = [
        card("What to know", listed(_remarks(posterior))),
        card("What the data say", *_forest(latents, summary)),
        _original(summarise_in_table_units(posterior)),
        card("Each latent against its prior", *_marginals(latents)),
        _pairs(latents),
        "" if posterior.model.whole else card("Would this model make such data?", *_check(posterior, seed)),
        card("How it was made", _made(posterior, command, seed)),
    ]
    return sheet(
        kind="Posterior report",
        title=title or f"{posterior.model.name}, {posterior.size_in_words}",
        verdict=Verdict(
            "refined" if posterior.is_doubtful else posterior.verdict,
            posterior.verdict,
            said.headline,
            said.explanation,
            said.limits,
        ),
        facts=_facts(posterior, latents),
        sections=sections,
    )


def _facts(posterior: PosteriorData, latents: Sequence[Latent]) -> list[tuple[str, str]]:
    facts = [("rows", f"{posterior.num_rows:,}"), ("latents", f"{len(latents):,}")]
    if posterior.refined is None:
        share = f"{posterior.ess:,.0f} <small>of {posterior.num_weighed:,}</small>"
        facts += [("effective draws (ESS)", share), ("Pareto k-hat", html.escape(k_hat_text(posterior.pareto_k)))]
    else:
        facts.append(("draws", f"{posterior.num_draws:,}"))
    facts.append(("time, with compilation", f"{posterior.seconds:.3g} <small>s</small>"))
    return facts


def _remarks(posterior: PosteriorData) -> list[str]:
    """Reasons of the verdict, then what was done to the table."""
    remarks = list(posterior.reasons)
    if not remarks:
        remarks.append(
            "The dataset lies inside what the estimator was made for, and nothing speaks against the weights."
        )
    if posterior.model.whole:
        remarks.append(f"The dataset counts as one observation. {posterior.model.whole}")
    recipe = posterior.recipe
    if recipe is None:
        return remarks
    if recipe.scaling is not None:
        remarks.append("Real columns were z-scored (mean 0, standard deviation 1); latents are on that scale.")
    if posterior.dropped_rows:
        remarks.append(f"{posterior.dropped_rows} rows with missing values were left out.")
    if recipe.unused:
        remarks.append(f"The model does not take these columns: {', '.join(recipe.unused)}.")
    if recipe.classes:
        codes = ", ".join(f"{code} = {label}" for code, label in enumerate(recipe.classes))
        remarks.append(f"Classes of '{recipe.target}': {codes}.")
    return remarks


def _forest(latents: Sequence[Latent], summary: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    yield key("thick", "thin", *_if_known(latents, "prior-band"))
    yield forest_table(latents[:MAX_LATENTS], summary)
    if len(latents) > MAX_LATENTS:
        yield f'<p class="lead">The first {MAX_LATENTS} of {len(latents)} latents are shown.</p>'
    spoilt = [latent.label for latent in latents if not latent.is_finite]
    if spoilt:
        names = html.escape(", ".join(spoilt))
        yield f'<p class="lead">Some draws are not finite and left out of the figures: {names}.</p>'


def _if_known(latents: Sequence[Latent], mark: str) -> tuple[str, ...]:
    """The mark of priors, where there are any: improper ones have no draws."""
    return (mark,) if any(len(latent.prior) for latent in latents) else ()


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
    return card("In the units of the table", f'<p class="lead">{words}</p>', table)


def _marginals(latents: Sequence[Latent]) -> Iterable[str]:
    shown = [latent for latent in latents if latent.is_shown][:MAX_MARGINALS]
    yield key("posterior-line", *_if_known(shown, "prior-line"))
    yield f'<div class="panels">{marginal_panels(shown)}</div>'
    if len(latents) > len(shown):
        yield f'<p class="lead">{len(shown)} of {len(latents)} latents are shown.</p>'


def _pairs(latents: Sequence[Latent]) -> str:
    panels = pair_panels([latent for latent in latents if latent.is_shown and latent.is_finite])
    if not panels:
        return ""
    words = "Where the dots form a band, the data tell a combination of the two latents better than either alone."
    return card("The most correlated pairs", f'<p class="lead">{words}</p>', f'<div class="panels">{panels}</div>')


def _check(posterior: PosteriorData, seed: int) -> Iterable[str]:
    recipe = posterior.recipe
    scaling = None if recipe is None else recipe.scaling
    loc, scale = (0.0, 1.0) if scaling is None else (scaling.target_mean, scaling.target_sd)
    try:
        fit = fit_of(posterior, seed=seed)
        figures = predictive_check(
            posterior,
            seed=seed,
            loc=loc,
            scale=scale,
            classes=() if recipe is None else recipe.classes,
            target="" if recipe is None else recipe.target or "",
        )
    except InputError as error:  # a distribution of the user's own that cannot be drawn from
        yield f'<p class="lead">{html.escape(str(error))}</p>'
        return
    yield (
        '<p class="lead">New datasets were drawn from the model, at draws of the posterior. Where the observed data '
        f"differ clearly from them, the model misses something.</p><p>{html.escape(str(fit))}</p>"
    )
    yield key(*[kind for kind in MARKS if kind.startswith(("observed", "replicated")) and f'class="{kind}"' in figures])
    yield f'<div class="panels">{figures}</div>'


def _made(posterior: PosteriorData, command: str | None, seed: int) -> str:
    facts = {"model": posterior.model.name, "draws": f"{posterior.num_draws:,}", "seed": str(seed)}
    return made(facts | ({} if posterior.name is None else {"name": posterior.name}), command)
