"""The paper's open questions (each in a file of its own), as small controlled experiments."""

from collections.abc import Iterator
from typing import Any

from study.job import Job

__all__ = ["do", "jobs"]


def jobs(preset: str) -> Iterator[Job]:
    """All experiments of a preset."""
    yield from ()


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """The rows of one experiment."""
    raise NotImplementedError(job.name)
