"""Does one job, by the part of the study that it belongs to."""

import time
from typing import Any

from study import baselines, misspecification, questions, tabular, trained
from study.job import Job

__all__ = ["PARTS", "do"]

PARTS = {
    "networks": trained.do,
    "baselines": baselines.do,
    "tabular": tabular.do,
    "misspecified": misspecification.do,
    "question": questions.do,
}


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """The rows of a job."""
    started = time.perf_counter()
    rows = PARTS[job.part](job, preset)
    common = {"preset": preset, "job": job.name, "stream": job.stream, "seed": job.seed, "method": job.method}
    seconds = round((time.perf_counter() - started) / len(rows), 1)
    return [common | row | {"seconds": seconds} for row in rows]
