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
LEFT_OUT = ("setup", "question", "metrics", "commit", "machine", "job", "stop_reason")


def questions_section(study: Study) -> str:
    """All questions; those without rows say so."""
    asked = dict.fromkeys([*QUESTIONS, *(row["question"] for row in study.questions)])
    parts = ["## Open questions", "± is the standard error over test datasets of one run; a line is one run."]
    for question in asked:
        chosen = [row for row in study.questions if row["question"] == question]
        parts += [f"### {QUESTIONS.get(question, question)}", _question_table(chosen) if chosen else "Not run."]
    return "\n\n".join(parts)


def _question_table(rows: Sequence[Row]) -> str:
    facts = _keys(rows, lambda row: [name for name in row if name not in LEFT_OUT])
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
        return "" if value["mean"] is None else plus_minus(value["mean"], value.get("se") or 0.0)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else number(value)
    return str(value).replace("|", "/")
