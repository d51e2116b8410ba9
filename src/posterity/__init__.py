"""Posterity: write a NumPyro model once, get a checked posterior for every dataset that comes after.

Names are fetched when they are first used, so that `posterity --help` need not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posterity.checks import InputError
    from posterity.estimator import DatasetPosterior, Estimator, load
    from posterity.fitting import fit
    from posterity.group_answers import GroupAnswers, infer_groups
    from posterity.models import MODELS, BuiltinModel
    from posterity.network import Architecture
    from posterity.objectives import ForwardKL, ReverseKL, SymmetricKL
    from posterity.problem import Envelope, Problem, ResampledRows, StandardNormal, TableLike, build_problem
    from posterity.report import write_report
    from posterity.results import Answer, Evidence, Predictions, Unanswered, compare
    from posterity.table_answer import TableAnswer, infer
    from posterity.training import OtherModel, RealRows, Simulated, TrainingConfig, ZScoredTables
    from posterity.zero_shot import informed_estimator

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
    "posterity.checks": ("InputError",),
    "posterity.estimator": ("DatasetPosterior", "Estimator", "load"),
    "posterity.fitting": ("fit",),
    "posterity.group_answers": ("GroupAnswers", "infer_groups"),
    "posterity.zero_shot": ("informed_estimator",),
    "posterity.network": ("Architecture",),
    "posterity.models": ("MODELS", "BuiltinModel"),
    "posterity.objectives": ("ForwardKL", "ReverseKL", "SymmetricKL"),
    "posterity.problem": (
        "Envelope",
        "Problem",
        "ResampledRows",
        "StandardNormal",
        "TableLike",
        "build_problem",
    ),
    "posterity.report": ("write_report",),
    "posterity.results": ("Answer", "Evidence", "Predictions", "Unanswered", "compare"),
    "posterity.table_answer": ("TableAnswer", "infer"),
    "posterity.training": ("OtherModel", "RealRows", "Simulated", "TrainingConfig", "ZScoredTables"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'posterity' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
