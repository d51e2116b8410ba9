"""What networks are held against: prior, MLE and MAP, the best member of a family, samplers, the informed posterior."""

import time
from typing import Any

import jax
import numpy as np
from jax import lax

from posterity.runtime.compile import jit
from study.datasets import TestSet, make_test_set
from study.job import Job
from study.methods import informed
from study.methods.best_member import best_forward_diagonal, best_reverse
from study.methods.chains import SAMPLERS, prior_draws, run_chains
from study.methods.optimum import optimum
from study.metrics.exact import exact_log_prob, exact_moments
from study.metrics.measures import Metrics, of_draws, predictive, summary, symmetric_kl, weights
from study.metrics.reference import Reference, has_reference, reference
from study.presets import PRESETS, Preset
from study.settings import Setting, Task
from study.tasks import SETTINGS

__all__ = ["baseline_row", "do"]

POINTS = ("mle", "map")
"""Methods that give optima, one a start, which are no draws of anything."""


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """Rows of one baseline on every task of a setting."""
    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    rows = []
    for task in setting.tasks:
        test = make_test_set(setting.simulator(), task, sizes.num_datasets)
        labels = {"task": task.name, "column": task.column, "setup": setting.setup}
        rows.append(labels | baseline_row(job.method, test, setting, task, preset))
    return rows


def baseline_row(method: str, test: TestSet, setting: Setting, task: Task, preset: str) -> dict[str, Any]:
    """Time per dataset, compilation included, and metrics of a baseline.

    Args:
        method: Name in `jobs.BASELINES`.
        test: The datasets.
        setting: Their model.
        task: Their size.
        preset: Decides how much is done.
    """
    sizes = PRESETS[preset]
    needed = has_reference(setting, task) and method not in POINTS
    truth = reference(test, setting, task, sizes) if needed else None
    started = time.perf_counter()
    draws, extra = _draws(method, test, setting, task, truth, preset)
    seconds = time.perf_counter() - started
    is_reference = truth is not None and draws is truth.draws
    if is_reference:  # they were made before the clock started, perhaps by another job
        seconds = truth.seconds
    test = test.first(len(draws))
    if method in POINTS:  # neither calibrated nor near to a posterior
        metrics = predictive(test, draws, setting.score)
    else:
        metrics = of_draws(test, draws, setting.score, None if truth is None else truth.draws, sizes)
    if is_reference:  # it is as far from itself as two sets of its draws
        metrics["w2"] = metrics["w2_floor"]
    return {"infer_ms": round(1e3 * seconds / len(draws), 3), "num_datasets": len(draws), "metrics": extra | metrics}


def _draws(
    method: str, test: TestSet, setting: Setting, task: Task, truth: Reference | None, preset: str
) -> tuple[np.ndarray, Metrics]:
    """Draws of a baseline, and metrics that it knows better than its draws do."""
    sizes = PRESETS[preset]
    if method == "prior":
        return np.asarray(prior_draws(test, sizes.num_draws, 0)), {}
    if method in POINTS:
        return optimum(test, prior=method == "map", iterations=sizes.optimum_iterations), {}
    if method == "informed":
        return _informed(test, setting, task, truth, sizes)
    if method == "exact":
        assert truth is not None
        return truth.draws, {"elbo": summary(_log_evidence(test, truth.draws))}
    if method == "nuts" and truth is not None and truth.method == "nuts":
        return truth.draws, _of_chains(truth.r_hat, truth.converged)
    if method in SAMPLERS:
        found = run_chains(test, method, num_draws=sizes.chain_draws)
        order = np.random.default_rng(0).permutation(found.draws.shape[1])
        return found.draws[:, order], _of_chains(found.r_hat, found.converged)
    return _best_member(method, test, setting, truth, preset)


def _best_member(
    method: str, test: TestSet, setting: Setting, truth: Reference | None, preset: str
) -> tuple[np.ndarray, Metrics]:
    number = PRESETS[preset].num_draws
    at = truth.draws[:, :number] if truth is not None and setting.exact else None
    if method == "best_diagonal_forward":
        assert truth is not None
        test = test.first(len(truth.draws))
        found = best_forward_diagonal(test, truth.draws, number, at=at)
    else:
        found = best_reverse(test, method.split("_")[1], number, preset=preset, at=at)
    metrics = weights(found.log_joint, found.log_q)
    if at is not None:
        metrics |= symmetric_kl(test, found.z, found.log_q, at, found.log_q_at)
    return found.z, metrics


def _informed(
    test: TestSet, setting: Setting, task: Task, truth: Reference | None, sizes: Preset
) -> tuple[np.ndarray, Metrics]:
    exact = truth.draws[:, : sizes.num_draws] if truth is not None and setting.exact else None
    at = None if exact is None else exact[..., test.active]
    found = informed.draw(test, setting, task, sizes.num_draws, sizes.refine_seconds, at)
    verdicts = [posterior.verdict for posterior in found.posteriors]
    seconds = [posterior.seconds for posterior in found.posteriors]
    metrics = {verdict: summary([v == verdict for v in verdicts]) for verdict in ("corrected", "refined", "untrusted")}
    metrics["ess"] = summary([posterior.ess / posterior.num_weighed for posterior in found.posteriors])
    metrics["seconds_per_dataset"] = summary(seconds)
    metrics["median_seconds"] = {"mean": float(np.median(seconds)), "se": None}
    if exact is not None and found.log_q is not None:
        metrics |= symmetric_kl(test, found.raw, found.log_q, exact, found.log_q_at)
    raw = predictive(test, found.raw, setting.score)
    return found.trusted, metrics | {f"raw_{name}": value for name, value in raw.items()}


def _log_evidence(test: TestSet, draws: np.ndarray) -> np.ndarray:
    """Log p(D) by Bayes' rule at a draw of the exact posterior."""
    mean, precision = exact_moments(test)
    joint = jit(lambda z, datasets: lax.map(lambda pair: test.model.log_joint(*pair), (z, datasets)))
    at = jax.vmap(exact_log_prob)(draws[:, 0][..., test.active], mean, precision)
    return np.asarray(joint(draws[:, 0], test.datasets)) - np.asarray(at)


def _of_chains(r_hat: np.ndarray, converged: np.ndarray) -> Metrics:
    return {"r_hat": summary(r_hat), "converged": summary(converged)}
