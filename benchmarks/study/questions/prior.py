"""Priors other than N(0, I): does forward KL's failure on neural regression (15 to 50 where reverse KL has 0.4) stay?

A Xavier prior gives a layer's weights the sd sqrt(2 / (fan_in + fan_out)). In one dimension with one hidden layer of
32 units that is sqrt(2 / 33) for both layers, so the built-in model's `prior_sd` says it; the biases get it, too, for
in the paper's code they are weights of a constant input. Its functions are small (sd 0.3 beside a noise of 0.5), those
of N(0, 1) are large (sd 6), and losses of the two priors cannot be compared: `unexplained` is the share of the
prior's excess loss that an answer leaves, 0 for the noise alone and 1 for draws of the prior.

Linear regression with prior sds of 0.1 and 10 shows what a narrow or a wide prior does where the posterior is known.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from study.datasets import TestSet, make_test_set
from study.job import Job
from study.methods import amortized
from study.methods.chains import prior_draws, run_chains
from study.methods.optimum import optimum
from study.metrics.measures import Metrics, predictive, summary
from study.presets import PRESETS
from study.questions.shared import judge
from study.settings import Setting, Task
from study.tasks import SETTINGS

__all__ = ["PRIORS", "do", "jobs"]

NOISE_VARIANCE = 0.25
LINEAR_SDS, XAVIER_SD = (0.1, 10.0), (2.0 / 33.0) ** 0.5
NETWORKS = [f"deep_sets/{family}/{kl}" for family in ("diagonal", "flow") for kl in ("forward", "reverse")]
BASELINES = ("prior", "map", "nuts")
NUM_NEURAL, NUM_NUTS = 40, 10
"""Datasets of neural regression: MAP takes 25 starts at six learning rates for each, and NUTS a quarter of a minute."""


def _with_prior(setting: Setting, sd: float, name: str) -> Setting:
    (task,) = setting.tasks
    renamed = Task(name, f"{task.column}, prior sd {sd:.3g}", task.dims)
    return dataclasses.replace(setting, name=name, tasks=(renamed,), options={**setting.options, "prior_sd": sd})


PRIORS = {
    "nlr_1d": SETTINGS["nlr_1d"],
    "nlr_1d_xavier": _with_prior(SETTINGS["nlr_1d"], XAVIER_SD, "nlr_1d_xavier"),
    **{f"lr_2d_sd_{sd:g}": _with_prior(SETTINGS["lr_2d"], sd, f"lr_2d_sd_{sd:g}") for sd in LINEAR_SDS},
}


def jobs(seed: int) -> Iterator[Job]:
    """Networks of each prior; draws of the prior, MAP, and NUTS where it mixes, once."""
    for name, method in itertools.product(PRIORS, [*NETWORKS, *BASELINES]):
        if method in BASELINES and (seed > 0 or not name.startswith("nlr")):
            continue
        if method == "nuts" and name != "nlr_1d_xavier":
            continue
        if name.startswith("lr") and "flow" in method:
            continue
        yield Job("question", name, f"prior/{method}", seed)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """One network, or one baseline."""
    setting, sizes = PRIORS[job.setting], PRESETS[preset]
    (task,) = setting.tasks
    method = job.method.removeprefix("prior/")
    number = NUM_NUTS if method == "nuts" else NUM_NEURAL if job.setting.startswith("nlr") else sizes.num_datasets
    test = make_test_set(setting.simulator(), task, number)
    if method == "prior":
        row = {"metrics": _of_prior(test, setting)}
    elif method == "map":
        draws = optimum(test, prior=True, iterations=sizes.optimum_iterations)
        row = {"metrics": predictive(test, draws, setting.score)}
    elif method == "nuts":
        found = run_chains(test, "nuts", num_draws=sizes.chain_draws // 4)
        draws = found.draws[:, np.random.default_rng(0).permutation(found.draws.shape[1])]  # of all chains and times
        row = {"metrics": predictive(test, draws, setting.score) | {"r_hat": summary(found.r_hat)}}
    else:
        encoder, family, objective = method.split("/")
        row = judge(amortized.train(setting, preset, encoder, family, objective, job.seed), test, setting, sizes)
    return [{**row, "num_datasets": number, "metrics": _scales(test, setting, row["metrics"]) | row["metrics"]}]


def _of_prior(test: TestSet, setting: Setting) -> Metrics:
    return predictive(test, np.asarray(prior_draws(test, 25, 0)), setting.score)


def _scales(test: TestSet, setting: Setting, metrics: Metrics) -> Metrics:
    """Size of the targets that the prior predicts, and the share of the prior's excess loss that is left."""
    targets = np.sqrt(np.mean(np.square(np.asarray(test.held_out.values["y"])), axis=1))
    excess = _of_prior(test, setting)["loss"]["mean"] - NOISE_VARIANCE
    left = {"mean": (metrics["loss"]["mean"] - NOISE_VARIANCE) / excess, "se": metrics["loss"]["se"] / excess}
    return {"unexplained": left, "target_rms": summary(targets)}
