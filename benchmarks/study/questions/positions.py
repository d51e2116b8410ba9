"""Positions: the same Transformer with and without positional encodings, on rows whose order means nothing.

With positions the network can tell one order of the rows from another and has to learn that it must not; the loss says
what that costs, `order_kl` and `order_shift` how much of it is left in the answer.
"""

from collections.abc import Iterator
from typing import Any

from study.datasets import make_test_set
from study.job import Job
from study.methods import amortized
from study.presets import PRESETS
from study.questions.shared import order_sensitivity
from study.tasks import SETTINGS

__all__ = ["do", "jobs"]

WHERE = ("lr_2d", "lc_2d")
VARIANTS = {"without": False, "with": True}
NETWORK = ("transformer", "diagonal", "reverse")


def jobs(seed: int) -> Iterator[Job]:
    """Both variants on both tasks."""
    for setting in WHERE:
        for variant in VARIANTS:
            yield Job("question", setting, f"positions/{variant}", seed)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """One network."""
    from study.trained import judge_network

    setting, sizes = SETTINGS[job.setting], PRESETS[preset]
    (task,) = setting.tasks
    positions = VARIANTS[job.method.removeprefix("positions/")]
    estimator = amortized.train(setting, preset, *NETWORK, job.seed, positions=positions)
    test = make_test_set(setting.simulator(), task, sizes.num_datasets)
    judged = judge_network(estimator, test, setting, task, sizes)
    metrics = order_sensitivity(estimator, test) | judged["metrics"]
    return [amortized.training_record(estimator) | {"infer_ms": judged["infer_ms"], "metrics": metrics}]
