"""`train`: from a model to a trained estimator, with sensible choices where none are given."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posterity.amortized.architecture import Architecture
from posterity.amortized.network import build_network, num_params
from posterity.amortized.objectives import AbstractObjective, ForwardKL
from posterity.estimator.estimator import Estimator
from posterity.model.builtin import MODELS
from posterity.runtime.errors import InputError, lookup
from posterity.runtime.keys import key_for
from posterity.runtime.provenance import made_here
from posterity.simulation.builtin import builtin_simulator
from posterity.simulation.covariates import CovariateLaw
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import Simulator, build_simulator
from posterity.training.config import TrainingConfig
from posterity.training.data_envelope import measure_envelope
from posterity.training.loop import Progress, run_training
from posterity.training.stream import DatasetStream, Simulated

__all__ = ["as_simulator", "default_architecture", "train"]


def train(
    model: Simulator | str | Callable[..., Any],
    like: Mapping[str, Any] | None = None,
    *,
    envelope: Envelope | None = None,
    covariates: str | CovariateLaw = "resampled",
    architecture: Architecture | None = None,
    objective: AbstractObjective | None = None,
    stream: DatasetStream | None = None,
    config: TrainingConfig | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Estimator:
    """Trains an estimator of a model's posterior.

    Args:
        model: A NumPyro model, the name of a built-in one, or what simulates one.
        like: For a model of your own, one dataset: argument name -> array with rows first.
        envelope: Rows and variable plates to train for.
        covariates: How covariates are drawn; see `build_simulator`.
        architecture: Encoder and posterior family; `default_architecture` if None.
        objective: What is minimised; forward KL if None.
        stream: Where training datasets come from; simulated from the model if None.
        config: Budget and settings; five minutes if None.
        folder: Where checkpoints and metrics go, so that the run can be resumed.
        resume: Go on with the run in `folder`.
        on_progress: Called after every chunk of steps.

    Returns:
        The estimator; `record["training"]["stop_reason"]` says why training ended.

    Raises:
        InputError: The model cannot serve, or options do not fit together.
    """
    simulator = as_simulator(model, like, envelope=envelope, covariates=covariates)
    architecture = architecture or default_architecture(simulator)
    objective, stream = objective or ForwardKL(), stream or Simulated()
    config = config or TrainingConfig(minutes=5.0)
    network = build_network(simulator, architecture, rng_key=key_for(config.seed, "network"))
    settings = {
        "model": simulator.model.name,
        "envelope": simulator.envelope.to_json(),
        "architecture": architecture.to_json(),
        "objective": describe(objective),
        "stream": describe(stream),
        "covariates": simulator.covariate_law.name,
    }
    result = run_training(
        simulator,
        network,
        objective,
        stream,
        config,
        folder=None if folder is None else Path(folder),
        settings=settings,
        resume=resume,
        on_progress=on_progress,
    )
    record = {
        **settings,
        "config": config.to_json(),
        "training": result.to_json(),
        "num_params": num_params(network),
        "data_envelope": measure_envelope(simulator, stream, key_for(config.seed, "envelope")).to_json(),
        **made_here(),
    }
    return Estimator(simulator.model, result.network, simulator, architecture, record)


def as_simulator(
    model: Simulator | str | Callable[..., Any],
    like: Mapping[str, Any] | None = None,
    *,
    envelope: Envelope | None = None,
    covariates: str | CovariateLaw = "resampled",
) -> Simulator:
    """What simulates a model or a built-in one; or the simulator itself."""
    if isinstance(model, Simulator):
        return model
    if isinstance(model, str):
        entry = lookup("model", model, MODELS)
        columns = dict(envelope.plates).get(entry.plate) if envelope else None
        rows, law = envelope.rows if envelope else None, None if covariates == "resampled" else covariates
        return builtin_simulator(entry, rows, columns, covariates=law)
    if like is None:
        raise InputError(
            "train(model, like=...): a model of your own needs one example dataset, a dict of arrays with rows first, "
            "which shows the shapes and types of its arguments"
        )
    return build_simulator(model, like, envelope, covariates=covariates)


MAX_FULL_LATENTS = 64


def default_architecture(simulator: Simulator) -> Architecture:
    """DeepSets with a full-covariance Gaussian, or a diagonal one where a full one would be large.

    A full covariance has d²/2 outputs for each of the trunk's numbers, 500,000 weights at 64 latents.
    """
    return Architecture(family="full" if simulator.model.space.size <= MAX_FULL_LATENTS else "diagonal")


def describe(value: Any) -> dict[str, Any]:
    """An objective or a stream as plain data: its type and its public attributes, those of its parts included.

    Arrays are told by their shapes, problems and functions by their names; what else is no plain value by its type.
    """
    names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else _public(value)
    return {"type": type(value).__name__, **{name: _plain(getattr(value, name)) for name in names}}


def _public(value: Any) -> list[str]:
    """Names of the public attributes that an object has for itself."""
    return [name for name in getattr(value, "__dict__", {}) if not name.startswith("_")]


def _plain(item: Any) -> Any:
    if isinstance(item, (str, int, float, bool, type(None))):
        return item
    if isinstance(item, Simulator):
        return item.model.name
    if isinstance(item, Mapping):
        return {str(name): _plain(entry) for name, entry in item.items()}
    if hasattr(item, "shape"):
        return list(np.shape(item))
    if isinstance(item, (list, tuple)):
        return [_plain(entry) for entry in item]
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return describe(item)
    return getattr(item, "__name__", type(item).__name__)
