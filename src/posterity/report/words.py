"""The verdict in plain words: what the numbers may be used for, and what was not checked."""

from typing import NamedTuple

from posterity.results.data import PosteriorData
from posterity.results.table import k_hat_text
from posterity.runtime.errors import lookup
from posterity.trust.standing import Standing
from posterity.trust.verdict import pareto_k_limit

__all__ = ["Said", "verdict_words"]


class Said(NamedTuple):
    """A verdict in words.

    Attributes:
        headline: One short sentence.
        explanation: What was found.
        limits: What the verdict does not say.
    """

    headline: str
    explanation: str
    limits: str


def verdict_words(posterior: PosteriorData) -> Said:
    """The verdict of an answer in words."""
    said = lookup("verdict", posterior.verdict, _WORDS)(posterior)
    if not posterior.is_doubtful or posterior.standing is None:
        return said
    return said._replace(
        headline="The computation looks healthy, but the estimator behind it does not.",
        limits=f"{_doubt(posterior.standing)} {said.limits}",
    )


def _doubt(standing: Standing) -> str:
    return (
        f"Of the estimator is known that {' and that '.join(standing.problems)}: a part of the posterior that it "
        "misses would not show in these numbers. Compare with the informed posterior, or with a sampler such as NUTS."
    )


def _corrected(posterior: PosteriorData) -> Said:
    return Said(
        "The computation can be relied on.",
        "Every draw was weighed by the model's own likelihood and prior, and the weights are healthy: Pareto k-hat "
        f"{k_hat_text(posterior.pareto_k)} (at most {pareto_k_limit(posterior.num_weighed):.2f} is allowed), and the "
        f"{posterior.num_weighed} draws are worth {posterior.ess:.0f} draws of the posterior itself. All numbers below "
        "use these weights.",
        "The weights cannot show a part of the posterior that no draw has reached. They say nothing about whether the "
        "model suits the data: for that, see the predictive check.",
    )


def _refined(posterior: PosteriorData) -> Said:
    return Said(
        "The computation can be relied on.",
        f"The first draws were not good enough, so a sampler started from them; the {posterior.num_draws} draws below "
        "are its own.",
        "A sampler may stay in one of several separate parts of the posterior. The verdict says nothing about whether "
        "the model suits the data: for that, see the predictive check.",
    )


def _untrusted(posterior: PosteriorData) -> Said:
    shown = "those of the draws as they came, without weights"
    if posterior.refined is not None:
        shown = "of a sampler that started from them and did not converge, which came closest"
    weights = posterior.weights
    return Said(
        "Do not rely on these numbers.",
        "The draws were weighed by the model's own likelihood and prior, and the weights are not healthy: Pareto k-hat "
        f"{k_hat_text(posterior.pareto_k)} (at most {pareto_k_limit(posterior.num_weighed):.2f} is allowed), and the "
        f"{posterior.num_weighed} draws are worth {0.0 if weights is None else weights.ess:.1f}. The numbers below are "
        f"{shown}.",
        "Run a sampler such as NUTS on this dataset before anything is decided with it.",
    )


_WORDS = {"corrected": _corrected, "refined": _refined, "untrusted": _untrusted}
