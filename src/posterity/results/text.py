"""A posterior on a few lines of text: what printing it says."""

from posterity.results.data import PosteriorData
from posterity.results.summary import usual_summary
from posterity.results.table import k_hat_text, number_text
from posterity.runtime.plain import printable

__all__ = ["posterior_text"]

MOST_LATENTS, MOST_REASONS, MOST_WIDTH = 8, 3, 110


def posterior_text(posterior: PosteriorData) -> str:
    """Verdict and sizes, the first reasons, and mean and sd of the first latents."""
    name = "" if posterior.name is None else f" '{posterior.name}'"
    lines = [f"Posterior{name} of {posterior.model.name}, {posterior.size_in_words}: {posterior.verdict}"]
    if posterior.verdict != "unanswered":
        lines[0] += " by a doubtful estimator" if posterior.is_doubtful else ""
        effective = f"ESS {posterior.ess:.0f} of {posterior.num_weighed} weighed"
        lines[0] += f" ({posterior.num_draws} draws; {effective}, k-hat {k_hat_text(posterior.pareto_k)})"
    lines += [f"  - {_cut(reason)}" for reason in posterior.reasons[:MOST_REASONS]]
    lines += _more(len(posterior.reasons) - MOST_REASONS, "reasons")
    if posterior.model.whole:
        lines.append(f"  - {_cut(f'counts as one observation: {posterior.model.whole}')}")
    summary = usual_summary(posterior) if posterior.num_draws else {}
    width = max((len(label) for label in list(summary)[:MOST_LATENTS]), default=0)
    for label, numbers in list(summary.items())[:MOST_LATENTS]:
        mean, sd = (number_text(numbers[key], numbers["sd"]) for key in ("mean", "sd"))
        lines.append(f"  {label:<{width}}  {mean} +- {sd}")
    return printable("\n".join([*lines, *_more(len(summary) - MOST_LATENTS, "latents")]))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_WIDTH else f"{text[: MOST_WIDTH - 3]}..."


def _more(number: int, what: str) -> list[str]:
    return [f"  ... {number} more {what}"] if number > 0 else []
