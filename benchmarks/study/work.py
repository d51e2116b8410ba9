"""Does one job: draws by a network or a baseline for every test dataset, and what they are worth."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import lax

from study import amortized, informed
from study.best_member import best_forward_diagonal, best_reverse
from study.chains import SAMPLERS, prior_draws, run_chains
from study.datasets import TestSet, make_test_set
from study.jobs import Job
from study.measures import Metrics, calibration, predictive, summary, symmetric_kl, w2, weights
from study.optimum import optimum
from study.presets import PRESETS, Preset
from study.reference import Reference, reference
from study.settings import Setting, Task
from study.tasks import SETTINGS

__all__ = ["do"]

Row = dict[str, Any]


def do(job: Job, preset: str) -> list[Row]:
    """The rows of a job: one for each task of its setting."""
    from study import misspecification, questions, tabular

    does = {
        "networks": _network,
        "baselines": _baseline,
        "tabular": tabular.do,
        "misspecified": misspecification.do,
        "question": questions.do,
    }
    started = time.perf_counter()
    rows = does[job.part](job, preset)
    common = {"preset": preset, "job": job.name, "stream": job.stream, "seed": job.seed}
    seconds = round((time.perf_counter() - started) / len(rows), 1)
    return [common | {"method": job.method} | row | {"seconds": seconds} for row in rows]


def _network(job: Job, preset: str) -> list[Row]:
    from study import tabular

    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    encoder, family, objective = job.method.split("/")
    estimator = amortized.train(setting, preset, encoder, family, objective, job.seed)
    record = amortized.training_record(estimator)
    rows = []
    for task in setting.tasks:
        test = make_test_set(estimator.problem, task, sizes.num_datasets)
        judged = judge_network(estimator, test, setting, task, sizes)
        rows.append(_labels(setting, task) | record | judged)
    return rows + [record | row for row in tabular.network_rows(estimator, setting)]


def judge_network(estimator: Any, test: TestSet, setting: Setting, task: Task, sizes: Preset) -> Mapping[str, Any]:
    """Milliseconds per dataset and all metrics of a network on one task."""
    truth = reference(test, setting, task, 2 * sizes.w2_draws) if _has_reference(setting, task) else None
    at = truth.draws[:, : sizes.num_draws] if truth and setting.exact else np.zeros((len(test.z), 0, test.z.shape[1]))
    found = amortized.draw(estimator, test, sizes.num_draws, at.astype(np.float32))
    metrics = weights(found.log_joint, found.log_q)
    if setting.exact:
        metrics |= symmetric_kl(test, found.z, found.log_q, at, found.log_q_at)
    return {
        "infer_ms": round(found.milliseconds, 3),
        "metrics": metrics | _of_draws(test, found.z, setting, truth, sizes),
    }


def _has_reference(setting: Setting, task: Task) -> bool:
    """Whether W2 has something to be taken to: closed forms, and what NUTS samples in minutes."""
    return setting.exact or task.small or setting.name in ("gmm_5d_2cl", "lc_100d")


def _of_draws(test: TestSet, draws: np.ndarray, setting: Setting, truth: Reference | None, sizes: Preset) -> Metrics:
    """Metrics that need nothing but draws."""
    metrics = predictive(test, draws, setting.score)
    if np.isfinite(np.asarray(test.z)).all():
        metrics |= calibration(test, draws)
    if truth is not None:
        metrics |= w2(test, draws, truth.draws, sizes.w2_datasets, sizes.w2_draws)
    return metrics


def _baseline(job: Job, preset: str) -> list[Row]:
    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    rows = []
    for task in setting.tasks:
        test = make_test_set(setting.problem(), task, sizes.num_datasets)
        truth = reference(test, setting, task, 2 * sizes.w2_draws) if _has_reference(setting, task) else None
        started = time.perf_counter()
        draws, extra = _baseline_draws(job.method, test, setting, task, truth, preset)
        seconds = time.perf_counter() - started
        points = job.method in ("mle", "map")
        metrics = _of_draws(test, draws, setting, None if points else truth, sizes)
        if points:
            metrics = {name: metrics[name] for name in metrics if name not in ("coverage_90", "sbc_p")}
        if truth is not None and draws is truth.draws:  # a reference is as far from itself as two sets of its draws
            metrics["w2"] = metrics["w2_floor"]
        rows.append(
            _labels(setting, task)
            | {"infer_ms": round(1e3 * seconds / len(test.z), 3)}  # compilation included
            | {"metrics": extra | metrics}
        )
    return rows


def _baseline_draws(
    method: str, test: TestSet, setting: Setting, task: Task, truth: Reference | None, preset: str
) -> tuple[np.ndarray, Metrics]:
    """Draws of a baseline, and metrics that it knows better than its draws do."""
    sizes = PRESETS[preset]
    if method == "prior":
        return np.asarray(prior_draws(test, sizes.num_draws, 0)), {}
    if method in ("mle", "map"):
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
        return _spread(found.draws), _of_chains(found.r_hat, found.converged)
    if method == "best_diagonal_forward":
        assert truth is not None
        z, log_q, log_joint = best_forward_diagonal(test, truth.draws, sizes.num_draws)
    else:
        family = method.split("_")[1]
        z, log_q, log_joint = best_reverse(test, family, sizes.num_draws, preset=preset)
    return z, weights(log_joint, log_q)


def _informed(
    test: TestSet, setting: Setting, task: Task, truth: Reference | None, sizes: Preset
) -> tuple[np.ndarray, Metrics]:
    exact = truth.draws[:, : sizes.num_draws] if truth is not None and setting.exact else None
    at = None if exact is None else exact[..., test.active]
    found = informed.answer(test, setting, task, sizes.num_draws, sizes.refine_seconds, at)
    verdicts = [answer.verdict for answer in found.answers]
    metrics = {verdict: summary(np.array([v == verdict for v in verdicts])) for verdict in ("corrected", "refined")}
    metrics["untrusted"] = summary(np.array([v == "untrusted" for v in verdicts]))
    metrics["ess"] = summary([answer.weights.ess / answer.num_draws for answer in found.answers])
    metrics["seconds_per_dataset"] = summary([answer.seconds for answer in found.answers])
    metrics["median_seconds"] = {"mean": float(np.median([answer.seconds for answer in found.answers])), "se": None}
    if exact is not None:
        metrics |= symmetric_kl(test, found.raw, found.log_q, exact, found.log_q_at)
    raw = predictive(test, found.raw, setting.score)
    return found.trusted, metrics | {f"raw_{name}": value for name, value in raw.items()}


def _log_evidence(test: TestSet, draws: np.ndarray) -> np.ndarray:
    """Log p(D) by Bayes' rule at a draw of the exact posterior."""
    from study.exact import exact_log_prob, exact_moments

    mean, precision = exact_moments(test)
    joint = jax.jit(lambda z, datasets: lax.map(lambda pair: test.problem.log_joint(*pair), (z, datasets)))
    at = jax.vmap(exact_log_prob)(draws[:, 0][..., test.active], mean, precision)
    return np.asarray(joint(draws[:, 0], test.datasets)) - np.asarray(at)


def _of_chains(r_hat: np.ndarray, converged: np.ndarray) -> Metrics:
    return {"r_hat": summary(r_hat), "converged": summary(converged)}


def _spread(draws: np.ndarray) -> np.ndarray:
    """Draws in an order in which the first 25, too, come from all chains and all times."""
    return draws[:, np.random.default_rng(0).permutation(draws.shape[1])]


def _labels(setting: Setting, task: Task) -> Row:
    return {"task": task.name, "column": task.column, "setup": setting.setup}
