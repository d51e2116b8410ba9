"""Training: streams of datasets, the compiled step, the loop, checkpoints and validation."""

from posterity.training.config import TrainingConfig
from posterity.training.loop import Progress, TrainingResult, run_training
from posterity.training.stream import STREAMS, DatasetStream, OtherModel, RealRows, Simulated, ZScoredTables
from posterity.training.validation import Validation, validate

__all__ = [
    "STREAMS",
    "DatasetStream",
    "OtherModel",
    "Progress",
    "RealRows",
    "Simulated",
    "TrainingConfig",
    "TrainingResult",
    "Validation",
    "ZScoredTables",
    "run_training",
    "validate",
]
