"""Posterity: write a NumPyro model once, get a checked posterior for every dataset that comes after.

Names are fetched when they are first used, so that `posterity --help` need not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posterity.amortized.architecture import Architecture
    from posterity.amortized.objectives import ForwardKL, ReverseKL, SymmetricKL
    from posterity.estimator.estimator import DatasetPosterior, Estimator, load
    from posterity.estimator.groups import GroupAnswers, infer_groups
    from posterity.estimator.infer import TableAnswer, infer
    from posterity.estimator.informed import informed_estimator
    from posterity.estimator.train import fit
    from posterity.results.data import Answer, Unanswered
    from posterity.results.evidence import Evidence, compare
    from posterity.results.predict import Predictions
    from posterity.model.build import build_problem
    from posterity.model.builtin import MODELS, BuiltinModel
    from posterity.model.problem import Problem
    from posterity.report.page import write_report
    from posterity.runtime.errors import InputError
    from posterity.simulation.covariates import ResampledRows, StandardNormal, TableLike
    from posterity.simulation.envelope import Envelope
    from posterity.training import OtherModel, RealRows, Simulated, TrainingConfig, ZScoredTables

__all__ = [
    "MODELS",
    "Answer",
    "Architecture",
    "BuiltinModel",
    "DatasetPosterior",
    "Envelope",
    "Estimator",
    "Evidence",
    "ForwardKL",
    "GroupAnswers",
    "InputError",
    "OtherModel",
    "Predictions",
    "Problem",
    "RealRows",
    "ResampledRows",
    "ReverseKL",
    "Simulated",
    "StandardNormal",
    "SymmetricKL",
    "TableAnswer",
    "TableLike",
    "TrainingConfig",
    "Unanswered",
    "ZScoredTables",
    "build_problem",
    "compare",
    "fit",
    "infer",
    "infer_groups",
    "informed_estimator",
    "load",
    "write_report",
]

_HOMES = {
    "posterity.runtime.errors": ("InputError",),
    "posterity.estimator.estimator": ("DatasetPosterior", "Estimator", "load"),
    "posterity.estimator.train": ("fit",),
    "posterity.estimator.groups": ("GroupAnswers", "infer_groups"),
    "posterity.estimator.informed": ("informed_estimator",),
    "posterity.amortized.architecture": ("Architecture",),
    "posterity.model.builtin": ("MODELS", "BuiltinModel"),
    "posterity.amortized.objectives": ("ForwardKL", "ReverseKL", "SymmetricKL"),
    "posterity.simulation.envelope": ("Envelope",),
    "posterity.model.problem": ("Problem",),
    "posterity.model.build": ("build_problem",),
    "posterity.simulation.covariates": ("ResampledRows", "StandardNormal", "TableLike"),
    "posterity.report": ("write_report",),
    "posterity.results.data": ("Answer", "Unanswered"),
    "posterity.results.evidence": ("Evidence", "compare"),
    "posterity.results.predict": ("Predictions",),
    "posterity.estimator.infer": ("TableAnswer", "infer"),
    "posterity.training": ("OtherModel", "RealRows", "Simulated", "TrainingConfig", "ZScoredTables"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'posterity' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
