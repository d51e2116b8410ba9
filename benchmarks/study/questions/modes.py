"""Do modes collapse where there are more than a hundred latents?

The posterior is that of `two_modes`: the means of a mixture of two Gaussians in 60 dimensions, labels exchangeable.

A variant is WHO/FAMILY/OBJECTIVE. `alone` fits q to each dataset by itself, which shows what family and objective can
do; `network` amortizes. `smaller_share` is 0.5 where both modes have their mass and 0 where one is lost, or neither was
found; `at_modes` is the mass near either; `elbo_gap` is log evidence less the bound: a perfect single mode has log 2.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import numpy as np
from jax import random

import posterity
from posterity.amortized.families import FAMILIES, AbstractFamily
from posterity.amortized.network import AmortizedPosterior, build_network
from posterity.amortized.objectives import AbstractObjective
from study.datasets import TestSet, make_test_set
from study.job import Job
from study.methods import amortized, informed, networks
from study.methods.best_member import NUM_SAMPLES, best_member
from study.metrics.measures import Metrics, summary, w2
from study.presets import PRESETS, Preset
from study.questions.mixtures import PairFamily, SwappedFamily, Tempered, nudged
from study.questions.shared import train_network
from study.questions.two_modes import SETTING, certain_posterior, mode_shares, swapped_labels

__all__ = ["do", "jobs"]

ALONE = ("diagonal/reverse", "flow/reverse", "flow/tempered", "spline/tempered",
         "pair/reverse", "pair/tempered", "swapped/reverse")  # fmt: skip
NETWORKS = ("flow/forward", "flow/reverse", "flow/tempered", "pair/tempered", "swapped/reverse")
FLOWS = ("flow", "spline")
"""The paper's affine couplings; and splines, which can give one latent several modes."""
NUM_ALONE = 10
"""Datasets that are fitted, or answered by the informed posterior, one by one."""


def jobs(seed: int) -> Iterator[Job]:
    """Networks; and once what needs none."""
    once = [*(f"alone/{name}" for name in ALONE), "informed"] if seed == 0 else []
    for variant in [*once, *(f"network/{name}" for name in NETWORKS)]:
        yield Job("question", SETTING.name, f"modes/{variant}", seed)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """One variant."""
    sizes, (task,) = PRESETS[preset], SETTING.tasks
    variant = job.method.removeprefix("modes/")
    test = make_test_set(SETTING.simulator(), task, sizes.num_datasets)
    if variant == "informed":
        test = test.first(NUM_ALONE)
        found = informed.draw(test, SETTING, task, sizes.num_draws, sizes.refine_seconds)
        verdicts = {posterior.verdict for posterior in found.posteriors}
        return [{"verdicts": ", ".join(sorted(verdicts)), "metrics": _judge(test, found.trusted, None, sizes)}]
    who, family, objective = variant.split("/")
    if who == "alone":
        test = test.first(NUM_ALONE)
        blank = _blank(test, preset, family, job.seed)
        drawn = best_member(test, blank, _objective(objective, NUM_SAMPLES), sizes.num_draws, seed=job.seed)
        return [{"metrics": _judge(test, drawn[0], drawn[2] - drawn[1], sizes)}]
    estimator = train_network(SETTING, preset, _network(preset, family, job.seed), _objective(objective, 4), job.seed)
    found = amortized.draw(estimator, test, sizes.num_draws, np.zeros((len(test.z), 0, test.z.shape[1])))
    metrics = _judge(test, found.z, found.log_joint - found.log_q, sizes)
    return [amortized.training_record(estimator) | {"infer_ms": round(found.milliseconds, 3), "metrics": metrics}]


def _objective(name: str, num_samples: int) -> AbstractObjective:
    """With several draws, of which a pair takes half each; the KL warm-up of the paper is no annealing and left out."""
    if name == "forward":
        return posterity.ForwardKL()
    return Tempered(num_samples) if name == "tempered" else posterity.ReverseKL(num_samples)


def _blank(test: TestSet, preset: str, name: str, seed: int) -> AbstractFamily:
    """A family for a context of one number, at the prior."""
    size = test.model.space.size
    options = networks.family_options(preset, "flow" if name in FLOWS else name)
    options |= {"transform": "spline"} if name == "spline" else {}
    family = FAMILIES["flow" if name in FLOWS else "diagonal"](size, 1, key=random.key(seed), **options)
    return _mixed(family, name, seed)


def _network(preset: str, name: str, seed: int) -> AmortizedPosterior:
    """A network with DeepSets and one of the families."""
    architecture = networks.architecture(preset, "deep_sets", "flow" if name == "flow" else "diagonal")
    network = build_network(SETTING.simulator(), architecture, rng_key=random.key(seed))
    return eqx.tree_at(lambda network: network.family, network, _mixed(network.family, name, seed))


def _mixed(family: AbstractFamily, name: str, seed: int) -> AbstractFamily:
    """Two of a family in one, where the name says so."""
    if name == "swapped":
        return SwappedFamily(nudged(family, random.key(seed)), swapped_labels())
    if name == "pair":
        return PairFamily(*(nudged(family, key) for key in random.split(random.key(seed))))
    return family


def _judge(test: TestSet, z: np.ndarray, log_ratio: np.ndarray | None, sizes: Preset) -> Metrics:
    """Shares of the modes, distance to the posterior, and the gap of the evidence bound where there are ratios."""
    exact, log_evidence = certain_posterior(test, 2 * sizes.w2_draws)
    shares = mode_shares(z, np.asarray(test.z))
    metrics = {"smaller_share": summary(shares.min(axis=-1)), "at_modes": summary(shares.sum(axis=-1))}
    if log_ratio is not None:
        metrics["elbo_gap"] = summary(log_evidence - log_ratio.mean(axis=1))
    return metrics | w2(test, z, exact, sizes.w2_datasets, sizes.w2_draws)
