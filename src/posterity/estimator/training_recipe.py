"""What training does where nothing was asked for, and why: one recipe for `posterity.train` and for the command."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from posterity.amortized.architecture import Architecture
from posterity.amortized.network import check_architecture
from posterity.amortized.objectives import OBJECTIVES, AbstractObjective, ForwardKL, ReverseKL
from posterity.model.builtin import builtin_entry
from posterity.model.model import Model
from posterity.runtime.errors import InputError, did_you_mean, lookup
from posterity.simulation.simulator import Simulator
from posterity.training.config import TrainingConfig
from posterity.training.stream import STREAMS, DatasetStream, Simulated, ZScoredTables, check_stream

__all__ = ["Choices", "TrainingPlan", "choose_config", "default_architecture"]

USUAL_MINUTES = 5.0
MAX_FULL_LATENTS = 64


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What will be trained, and why so: everything is checked, and nothing has been trained.

    Attributes:
        simulator: What is learned.
        architecture: What the network is made of.
        objective: What is minimised.
        stream: Where training datasets come from.
        config: Budget and settings.
        why_objective: Why this objective on these datasets.
        why_family: Why this posterior family.
    """

    simulator: Simulator
    architecture: Architecture
    objective: AbstractObjective
    stream: DatasetStream
    config: TrainingConfig
    why_objective: str
    why_family: str


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chose of objective, stream and network, checked as far as it can be before a model is read.

    Attributes:
        objective: What to minimise, if chosen.
        stream: Where training datasets come from, if chosen.
        parts: The fields of `Architecture` that were chosen.
    """

    objective: AbstractObjective | None
    stream: DatasetStream | None
    parts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        objective: str | AbstractObjective | None,
        stream: str | DatasetStream | None,
        architecture: Architecture | Mapping[str, Any] | None,
        encoder: str | None,
        family: str | None,
    ) -> "Choices":
        """Choices as `posterity.train` takes them: values, or names of what there is.

        Raises:
            InputError: An unknown name or option, or two that do not go together.
        """
        chosen = lookup("objective", objective, OBJECTIVES)() if isinstance(objective, str) else objective
        datasets = lookup("stream", stream, STREAMS)() if isinstance(stream, str) else stream
        if chosen is not None and datasets is not None:
            check_stream(chosen.needs_latents, datasets)
        parts = architecture.to_json() if isinstance(architecture, Architecture) else dict(architecture or {})
        known = [field.name for field in dataclasses.fields(Architecture)]
        for name in parts:
            if name not in known:
                raise InputError(
                    f"train: architecture has no '{name}'; it has {', '.join(known)}.{did_you_mean(name, known)}"
                )
        parts |= {name: part for name, part in (("encoder", encoder), ("family", family)) if part is not None}
        if parts.get("family_options") and "family" not in parts:
            raise InputError(
                "train: the options of a posterior family (--family-option) need its name, family= or --family: which "
                "one is taken by default depends on the number of latents"
            )
        check_architecture(Architecture(**parts))
        return cls(chosen, datasets, parts)

    def plan(self, simulator: Simulator, config: TrainingConfig) -> TrainingPlan:
        """What was chosen, and the recipe for all else.

        Args:
            simulator: What is learned.
            config: Budget and settings.

        Raises:
            InputError: The objective needs latents that the stream has not.
        """
        objective, stream, why = self._objective(simulator.model)
        check_stream(objective.needs_latents, stream)
        why_family = (
            "as asked for" if "family" in self.parts else f"the default for {simulator.model.space.size} latents"
        )
        architecture = dataclasses.replace(default_architecture(simulator), **self.parts)
        return TrainingPlan(simulator, architecture, objective, stream, config, why, why_family)

    def _objective(self, model: Model) -> tuple[AbstractObjective, DatasetStream, str]:
        z_scored = _is_z_scored(model)
        if self.objective is not None:
            usual = ZScoredTables() if z_scored and not self.objective.needs_latents else Simulated()
            return self.objective, self.stream or usual, "as asked for"
        if self.stream is not None and not self.stream.has_latents:
            return ReverseKL(), self.stream, "such datasets come without the latents that forward KL needs"
        if self.stream is None and z_scored:
            return (
                ReverseKL(),
                ZScoredTables(),
                "real tables are z-scored for this model, and z-scored targets lie in the tail of what its prior "
                "simulates; reverse KL learns from such tables directly",
            )
        why = "the default: learned from draws of the model's own joint, it covers all the mass of the posterior"
        return ForwardKL(), self.stream or Simulated(), why


def _is_z_scored(model: Model) -> bool:
    """Whether tables are z-scored for a model, target included."""
    entry = builtin_entry(model.function)
    return entry is not None and entry.standardized and all(argument.kind == "real" for argument in model.data)


def default_architecture(simulator: Simulator) -> Architecture:
    """DeepSets with a full-covariance Gaussian, or a diagonal one where a full one would be large.

    A full covariance has d²/2 outputs for each of the trunk's numbers, 500,000 weights at 64 latents.
    """
    return Architecture(family="full" if simulator.model.space.size <= MAX_FULL_LATENTS else "diagonal")


def choose_config(
    config: TrainingConfig | None,
    *,
    minutes: float | None,
    steps: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int,
) -> TrainingConfig:
    """Budget and settings: five minutes where no budget is given, defaults for what is None.

    Raises:
        InputError: A setting is impossible, or given twice.
    """
    settings = {"minutes": minutes, "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    given = {name: value for name, value in settings.items() if value is not None}
    if config is not None:
        twice = [*given, *(["seed"] if seed not in (0, config.seed) else [])]
        if twice:
            raise InputError(f"train: config holds {twice[0]} already; give it there, or leave config out")
        return config
    if minutes is None and steps is None:
        given["minutes"] = USUAL_MINUTES
    return TrainingConfig(**given, seed=seed)
