"""Open questions beyond the tables: one table for each, with whatever its rows measured."""

from collections.abc import Sequence

from report_text import Row, table

from study.judging.values import Study
from study.page.words import number, plus_minus

__all__ = ["questions_section"]

QUESTIONS = {
    "positions": "The same networks with and without positional encodings on exchangeable data",
    "gru_vs_deep_sets": "Why a GRU can beat DeepSets",
    "prior": "Priors other than N(0, I)",
    "modes": "Do modes collapse: reverse KL and flows on multimodal posteriors",
    "cost": "Compute cost against tuned MCMC",
}
EXPLAINED = {
    "positions": "A Transformer, diagonal Gaussian, reverse KL. `order kl` and `order shift`: how far q moves when the "
    "rows of a dataset are shuffled, as symmetric KL per latent and as the shift of means in sds.",
    "gru_vs_deep_sets": "Encoders with equal numbers of weights, diagonal Gaussian, reverse KL. With `shortcuts` they "
    "also get averages of the rows and of their products; `bare`, DeepSets has nothing but the average of its features "
    "and the GRU nothing but its last state, as in the paper.",
    "prior": "A Xavier prior has functions of sd 0.3 beside a noise of 0.5, the prior N(0, I) of sd 6, so losses of "
    "the two are not comparable; `unexplained` is the share of the prior's excess over the noise that an answer "
    "leaves: 0 for the noise alone, 1 for draws of the prior.",
    "modes": "Means of a mixture of two Gaussians in 60 dimensions: 120 latents and two modes of equal mass, known in "
    "closed form. `smaller share`: mass at the mode that has less, 0.5 is right. `at modes`: mass at either. `elbo "
    "gap`: log evidence less the bound, 0.69 for one perfect mode. `alone`: fitted to each dataset by itself.",
    "cost": "Seconds for 1000 effective draws of one dataset, compilation not counted; training counts with its "
    "compilation. A network has paid off once its training has cost less than the NUTS runs it saved, datasets whose "
    "weights cannot be trusted being left to NUTS.",
}
FIRST = ("task", "method", "seed")
LEFT_OUT = ("setup", "question", "metrics", "commit", "machine", "job", "stop_reason", "stream")


def questions_section(study: Study) -> str:
    """All questions; those without rows say so."""
    asked = dict.fromkeys([*QUESTIONS, *(row["question"] for row in study.questions)])
    parts = ["## Open questions", "± is the standard error over test datasets of one run; a line is one run."]
    for question in asked:
        chosen = [row for row in study.questions if row["question"] == question]
        parts += [f"### {QUESTIONS.get(question, question)}", EXPLAINED.get(question, "")]
        parts += [_question_table(chosen) if chosen else "Not run."]
    return "\n\n".join(filter(None, parts))


def _question_table(rows: Sequence[Row]) -> str:
    rows = sorted(rows, key=lambda row: [str(row.get(name)) for name in FIRST])
    facts = _keys(rows, lambda row: [*FIRST, *(name for name in row if name not in LEFT_OUT)])
    metrics = _keys(rows, lambda row: row.get("metrics", {}))
    body = [
        [*(_text(row.get(name)) for name in facts), *(_text(row.get("metrics", {}).get(name)) for name in metrics)]
        for row in rows
    ]
    return table([name.replace("_", " ") for name in [*facts, *metrics]], body)


def _keys(rows: Sequence[Row], names_of) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in names_of(row)))


def _text(value) -> str:
    """Any value of a row: a mean with its error, a number, a list, a word."""
    if isinstance(value, dict) and "mean" in value:
        mean, error = value["mean"], value.get("se")
        return "" if mean is None else number(mean) if error is None else plus_minus(mean, error)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else number(value)
    return str(value).replace("|", "/")
