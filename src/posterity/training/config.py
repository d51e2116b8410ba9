"""How long and how fast to train: one frozen value, checked when it is made, saved beside the weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from posterity.runtime.errors import InputError, did_you_mean

__all__ = ["TrainingConfig"]


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of one training run; with the same simulator, seed and step budget it gives the same weights.

    Attributes:
        minutes: Time budget, compilation excluded; None for none.
        steps: Step budget; None for none. With both, the first that is used up ends the run.
        batch_size: Datasets per step.
        learning_rate: Peak of Adam's learning rate, which then falls to 0 along a cosine over the budget.
        warmup_steps: Steps over which the learning rate rises to its peak.
        clip_norm: Largest global norm of a gradient.
        ema_decay: Decay of the running average of the weights, which is what the estimator keeps.
        seed: Decides initial weights, datasets and draws.
        chunk_steps: Steps per compiled call; all of them share one padded number of rows. The last call does what is
            left of the budget.
        checkpoint_minutes: Time between checkpoints.
        validate: Judge the network on held-out datasets ten times on the way and at the end. Without, the record says
            nothing of its quality; a sweep that measures for itself saves two compilations a run.
    """

    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    chunk_steps: int = 20
    checkpoint_minutes: float = 1.0
    validate: bool = True

    def __post_init__(self) -> None:
        """Refuses impossible settings."""
        if self.minutes is None and self.steps is None:
            raise InputError("training needs a budget: give minutes, steps or both")
        for name in ("minutes", "steps", "batch_size", "learning_rate", "clip_norm", "chunk_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"training: {name} must be positive; got {value}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise InputError(f"training: ema_decay must lie in [0, 1); got {self.ema_decay}")

    def steps_from(self, step: int) -> int:
        """Steps of the compiled call that begins at a step: a chunk, or what the step budget leaves of it."""
        return self.chunk_steps if self.steps is None else min(self.chunk_steps, self.steps - step)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for saving."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrainingConfig":
        """Inverse of `to_json`.

        Raises:
            InputError: A setting is unknown.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in record:
            if name not in known:
                raise InputError(f"unknown training setting '{name}'.{did_you_mean(name, known)}")
        return cls(**record)
