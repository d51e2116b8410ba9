"""Does the jobs that have no row yet, one process per core or on a Ray cluster; stopped at any time, it can go on.

Only the parent writes rows, one whole line at a time. A job that fails leaves its error in `study_errors.jsonl`, stops
no other, and is tried again at the next run.
"""

import fnmatch
import itertools
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any, NamedTuple

import jax
from rows import append, read

from study.job import Job
from study.jobs import jobs

__all__ = ["ERRORS", "NAME", "Outcome", "chosen", "matches", "run", "to_do"]

NAME, ERRORS = "study", "study_errors"
Rows = list[dict[str, Any]]
JOBS_PER_CACHE = 6  # jobs share small compiled programs, but all that they compile would fill the memory
_ATTEMPTS = itertools.count(1)


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        job: The job.
        seconds: That it took.
        error: Its error, or None.
        left: Jobs still to do.
    """

    job: Job
    seconds: float
    error: str | None
    left: int


def to_do(preset: str, patterns: Sequence[str] = (), seed: int | None = None) -> list[Job]:
    """Those of the `chosen` jobs that have no row yet."""
    done = {row["job"] for row in read(NAME) if row["preset"] == preset}
    return [job for job in chosen(preset, patterns, seed) if job.name not in done]


def chosen(preset: str, patterns: Sequence[str] = (), seed: int | None = None) -> list[Job]:
    """Jobs of a preset.

    Args:
        preset: Name of the preset.
        patterns: Shell patterns of which a job's name must match one; all jobs if there are none.
        seed: Only the jobs of this seed; None for all.
    """
    return [job for job in jobs(preset) if matches(job.name, patterns) and seed in (None, job.seed)]


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a job's name fits one of the shell patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def run(
    preset: str,
    waiting: Sequence[Job],
    *,
    workers: int = 1,
    ray: bool = False,
    minutes: float | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Does jobs and appends their rows; returns the number of those that failed.

    Args:
        preset: Name of the preset.
        waiting: What `to_do` found.
        workers: Processes, each kept to one core.
        ray: Send the jobs to a Ray cluster instead.
        minutes: Begin no further job after so long; None for no limit.
        on_outcome: Called after every job.
    """
    failed, left = 0, len(waiting)
    for job, rows, seconds, error in (_by_ray if ray else _by_processes)(preset, waiting, workers, minutes):
        left -= 1
        for row in rows:
            append(NAME, row)
        if error is not None:
            failed += 1
            append(ERRORS, {"preset": preset, "job": job.name, "error": error})
        on_outcome(Outcome(job, seconds, error, left))
    return failed


def attempt(preset: str, job: Job) -> tuple[Job, Rows, float, str | None]:
    """One job in this process; its error as text, so that it can travel."""
    from study.work import do

    started = time.perf_counter()
    try:
        rows, error = do(job, preset), None
    except Exception:  # one job of hundreds must not stop the others
        rows, error = [], traceback.format_exc()
    if next(_ATTEMPTS) % JOBS_PER_CACHE == 0:
        jax.clear_caches()
    return job, rows, time.perf_counter() - started, error


def _by_processes(
    preset: str, waiting: Sequence[Job], workers: int, minutes: float | None
) -> Iterator[tuple[Job, Rows, float, str | None]]:
    context = multiprocessing.get_context("spawn")  # JAX and fork do not go together
    cores = context.Queue()
    for core in range(workers):
        cores.put(core)
    until = time.monotonic() + 60.0 * minutes if minutes else float("inf")
    queue = iter(waiting)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_settle, initargs=(cores,)) as pool:
        running: set[Future[Any]] = set()
        while True:
            while len(running) < workers and time.monotonic() < until and (job := next(queue, None)) is not None:
                running.add(pool.submit(attempt, preset, job))
            if not running:
                return
            done, running = wait(running, return_when="FIRST_COMPLETED")
            for future in done:
                yield future.result()


def _settle(cores: Any) -> None:
    """Keeps a process to one core, and its compiled programs for the next."""
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[core % len(allowed)]})
    from posterity.cli.cache import keep_compiled_programs

    keep_compiled_programs()


def _by_ray(
    preset: str, waiting: Sequence[Job], workers: int, minutes: float | None
) -> Iterator[tuple[Job, Rows, float, str | None]]:
    """The same on a Ray cluster: that of `RAY_ADDRESS`, or one of this machine."""
    import ray

    del workers  # the cluster knows its own size
    until = time.monotonic() + 60.0 * minutes if minutes else float("inf")
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    remote = ray.remote(num_cpus=1, max_retries=1)(_attempt_elsewhere)
    queue, running = iter(waiting), []
    room = max(1, int(ray.cluster_resources().get("CPU", 1)))
    while True:
        while len(running) < room and time.monotonic() < until and (job := next(queue, None)) is not None:
            running.append(remote.remote(preset, job))
        if not running:
            return
        done, running = ray.wait(running)
        yield from ray.get(done)


def _attempt_elsewhere(preset: str, job: Job) -> tuple[Job, Rows, float, str | None]:
    """`attempt` in a process of the cluster, which keeps compiled programs for the next."""
    from posterity.cli.cache import keep_compiled_programs

    keep_compiled_programs()
    return attempt(preset, job)
