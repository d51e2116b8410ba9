"""The paper's open questions as small controlled experiments, one file each.

A job's method is QUESTION/VARIANT. A question is a module with `jobs(seed)`, what to run with a seed, and
`do(job, preset)`, the rows of one of them; a new one is a file, a line in `QUESTIONS` and one in `page.questions`.
"""

from collections.abc import Iterator
from typing import Any

from study.job import Job
from study.presets import PRESETS
from study.questions import cost, gru_vs_deep_sets, modes, positions, prior

__all__ = ["QUESTIONS", "do", "jobs"]

QUESTIONS = {
    "modes": modes,
    "prior": prior,
    "gru_vs_deep_sets": gru_vs_deep_sets,
    "positions": positions,
    "cost": cost,
}
SMOKE = Job("question", "lr_2d", "positions/with")


def jobs(preset: str) -> Iterator[Job]:
    """All experiments of a preset, seed by seed; one tiny network to see whether they run."""
    if preset == "smoke":
        yield SMOKE
        return
    for seed in PRESETS[preset].seeds:
        for question in QUESTIONS.values():
            yield from question.jobs(seed)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """The rows of one experiment."""
    question, _, variant = job.method.partition("/")
    rows = QUESTIONS[question].do(job, preset)
    return [{"setup": "question", "question": question, "method": variant, "task": job.setting} | row for row in rows]
