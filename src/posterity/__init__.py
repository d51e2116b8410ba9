"""Posterity: write a NumPyro model once, get a checked posterior for every dataset that comes after.

Names are fetched when they are first used, so that `posterity --help` need not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posterity.amortized.architecture import Architecture
    from posterity.amortized.objectives import ForwardKL, ReverseKL, SymmetricKL
    from posterity.estimator.check import Calibration, check
    from posterity.estimator.estimator import Estimator, load
    from posterity.estimator.evidence_fit import evidence_fit
    from posterity.estimator.formula import FormulaModel, from_formula
    from posterity.estimator.infer import infer
    from posterity.estimator.informed import informed
    from posterity.estimator.train import train
    from posterity.inference.posterior import Posterior
    from posterity.inference.posteriors import Posteriors
    from posterity.model.builtin import MODELS
    from posterity.model.model import Model
    from posterity.model.read import read_model
    from posterity.results.evidence import Evidence, compare
    from posterity.results.predict import Predictions
    from posterity.runtime.errors import InputError
    from posterity.runtime.status import show_status
    from posterity.simulation.builtin import builtin_simulator
    from posterity.simulation.covariates import ResampledRows, StandardNormal, TableLike
    from posterity.simulation.envelope import Envelope
    from posterity.simulation.simulator import Simulator, build_simulator
    from posterity.training.config import TrainingConfig
    from posterity.training.stream import OtherModel, RealRows, Simulated, ZScoredTables

_HOMES = {
    "posterity.amortized.architecture": ("Architecture",),
    "posterity.amortized.objectives": ("ForwardKL", "ReverseKL", "SymmetricKL"),
    "posterity.estimator.check": ("Calibration", "check"),
    "posterity.estimator.estimator": ("Estimator", "load"),
    "posterity.estimator.evidence_fit": ("evidence_fit",),
    "posterity.estimator.formula": ("FormulaModel", "from_formula"),
    "posterity.estimator.infer": ("infer",),
    "posterity.estimator.informed": ("informed",),
    "posterity.estimator.train": ("train",),
    "posterity.inference.posterior": ("Posterior",),
    "posterity.inference.posteriors": ("Posteriors",),
    "posterity.model.builtin": ("MODELS",),
    "posterity.model.model": ("Model",),
    "posterity.model.read": ("read_model",),
    "posterity.results.evidence": ("Evidence", "compare"),
    "posterity.results.predict": ("Predictions",),
    "posterity.runtime.errors": ("InputError",),
    "posterity.runtime.status": ("show_status",),
    "posterity.simulation.covariates": ("ResampledRows", "StandardNormal", "TableLike"),
    "posterity.simulation.envelope": ("Envelope",),
    "posterity.simulation.builtin": ("builtin_simulator",),
    "posterity.simulation.simulator": ("Simulator", "build_simulator"),
    "posterity.training.config": ("TrainingConfig",),
    "posterity.training.stream": ("OtherModel", "RealRows", "Simulated", "ZScoredTables"),
}

__all__ = [
    "MODELS",
    "Architecture",
    "Calibration",
    "Envelope",
    "Estimator",
    "Evidence",
    "FormulaModel",
    "ForwardKL",
    "InputError",
    "Model",
    "OtherModel",
    "Posterior",
    "Posteriors",
    "Predictions",
    "RealRows",
    "ResampledRows",
    "ReverseKL",
    "Simulated",
    "Simulator",
    "StandardNormal",
    "SymmetricKL",
    "TableLike",
    "TrainingConfig",
    "ZScoredTables",
    "build_simulator",
    "builtin_simulator",
    "check",
    "compare",
    "evidence_fit",
    "from_formula",
    "infer",
    "informed",
    "load",
    "read_model",
    "show_status",
    "train",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'posterity' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
