"""Networks on the paper's tasks: each is trained once and judged at every size that it serves, and on real tables."""

from typing import Any

import numpy as np

from study import tabular
from study.datasets import TestSet, make_test_set
from study.job import PAPER_TEMPERATURE, Job
from study.methods import amortized
from study.metrics.measures import of_draws, symmetric_kl, weights
from study.metrics.reference import has_reference, reference
from study.presets import PRESETS, Preset
from study.settings import Setting, Task
from study.tasks import SETTINGS

__all__ = ["do", "judge_network"]

Row = dict[str, Any]


def do(job: Job, preset: str) -> list[Row]:
    """Trains one network and judges it on every task of its setting, and on real tables if it serves them."""
    own, sizes = SETTINGS[job.setting], PRESETS[preset]
    setting = own.with_paper_temperature() if job.stream == PAPER_TEMPERATURE else own
    stream = None if setting is own else amortized.of_model(own)
    encoder, family, objective = job.method.split("/")
    estimator = amortized.train(setting, preset, encoder, family, objective, job.seed, stream)
    record = amortized.training_record(estimator)
    rows = []
    for task in setting.tasks:
        test = make_test_set(setting.simulator(), task, sizes.num_datasets, stream)
        labels = {"task": task.name, "column": task.column, "setup": setting.setup}
        rows.append(labels | record | judge_network(estimator, test, setting, task, sizes))
    if setting is own:
        rows += [record | row for row in tabular.network_rows(estimator, setting)]
    return rows


def judge_network(estimator: Any, test: TestSet, setting: Setting, task: Task, sizes: Preset) -> Row:
    """Milliseconds per dataset, compiled, and all metrics of a network on one task."""
    truth = reference(test, setting, task, sizes) if has_reference(setting, task) else None
    at = np.zeros((len(test.z), 0, test.z.shape[1]), np.float32)
    if truth is not None and setting.exact:
        at = truth.draws[:, : sizes.num_draws].astype(np.float32)
    found = amortized.draw(estimator, test, sizes.num_draws, at)
    metrics = weights(found.log_joint, found.log_q)
    if setting.exact:
        metrics |= symmetric_kl(test, found.z, found.log_q, at, found.log_q_at)
    metrics |= of_draws(test, found.z, setting.score, None if truth is None else truth.draws, sizes)
    return {"infer_ms": round(found.milliseconds, 3), "metrics": metrics}
