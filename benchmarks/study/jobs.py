"""The list of all that a preset asks for: each job is one network or one baseline, and gives one row or a few."""

import itertools
from collections.abc import Iterator

from study import misspecification, questions, tabular
from study.job import PAPER_TEMPERATURE, Job
from study.methods.networks import ENCODERS, FAMILIES, OBJECTIVES
from study.presets import PRESETS
from study.settings import Setting
from study.tasks import SETTINGS

__all__ = ["BASELINES", "jobs"]

BASELINES = ("prior", "exact", "informed", "mle", "map", "best_diagonal_reverse", "best_diagonal_forward",
             "best_flow_reverse", "nuts", "langevin", "hmc")  # fmt: skip
LARGE = ("gm_100d", "gmm_5d_2cl", "lr_100d", "lc_100d")
SMOKE = ("lr_1d",)
SMOKE_METHODS = ("exact", "informed", "map", "langevin", "best_diagonal_reverse")
SMOKE_NETWORKS = ("transformer/flow/forward",)
LAPTOP_VARIABLE = ("gmm_variable_2cl", "lr_variable", "lc_variable", "nlr_variable", "nlc_variable")
HEAVY = {"langevin", "hmc", "best_flow_reverse"}
"""Methods that the laptop preset leaves to the small tasks."""
CHEAP = {"prior", "exact", "mle", "map"}
"""Those that it has for variable dimension."""


def jobs(preset: str) -> list[Job]:
    """All jobs of a preset, in the order in which they are worth most: baselines, then seed by seed."""
    return [
        *_baselines(preset),
        *tabular.jobs(preset),
        *_networks(preset),
        *_paper_temperature(preset),
        *misspecification.jobs(preset),
        *questions.jobs(preset),
    ]


def _small(setting: Setting) -> bool:
    return any(task.small for task in setting.tasks)


def _baselines(preset: str) -> Iterator[Job]:
    for setting in SETTINGS.values():
        if preset == "smoke" and setting.name not in SMOKE:
            continue
        for method in BASELINES:
            if preset == "smoke" and method not in SMOKE_METHODS:
                continue
            if preset == "laptop" and not _baseline_on_laptop(setting, method):
                continue
            if (method == "exact" and not setting.exact) or (method == "informed" and setting.informed is None):
                continue
            yield Job("baselines", setting.name, method)


def _baseline_on_laptop(setting: Setting, method: str) -> bool:
    """All on small tasks, all but the slowest on large ones, the cheap ones for variable dimension."""
    if setting.name in LARGE:
        return method not in HEAVY
    return _small(setting) or (setting.name in LAPTOP_VARIABLE and method in CHEAP)


def _networks(preset: str) -> Iterator[Job]:
    """Small tasks and the rest of a preset in turns of one seed, so that a stopped run has something of everything."""
    methods = ["/".join(parts) for parts in itertools.product(ENCODERS, FAMILIES, OBJECTIVES)]
    if preset == "smoke":
        for name, method in itertools.product(SMOKE, SMOKE_NETWORKS):
            yield Job("networks", name, method)
        return
    for seed in PRESETS[preset].seeds:
        for setting in SETTINGS.values():
            for method in methods:
                if preset == "laptop" and not _on_laptop(setting, method, seed):
                    continue
                yield Job("networks", setting.name, method, seed)


def _paper_temperature(preset: str) -> Iterator[Job]:
    """Reverse KL under the paper's mismatch; forward KL never sees the likelihood."""
    if preset == "smoke":
        return
    for setting in SETTINGS.values():
        if "temperature" in setting.options and (preset == "paper" or setting.name == "lc_2d"):
            for family in FAMILIES:
                yield Job("networks", setting.name, f"transformer/{family}/reverse", stream=PAPER_TEMPERATURE)


def _on_laptop(setting: Setting, method: str, seed: int) -> bool:
    """Small tasks with every method; large ones with the Transformer; one seed of variable dimension."""
    if setting.name in LARGE:
        return method.startswith("transformer/")
    return _small(setting) or (setting.name in LAPTOP_VARIABLE and seed == 0)
