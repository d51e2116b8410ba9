"""`fit`: from a model to a trained estimator, with sensible choices where none are given."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posterity.checks import InputError, lookup
from posterity.estimator import Estimator
from posterity.keys import key_for
from posterity.models import MODELS
from posterity.network import Architecture, build_network, num_params
from posterity.objectives import AbstractObjective, ForwardKL
from posterity.problem import Envelope, Problem, build_problem
from posterity.problem.covariates import CovariateLaw
from posterity.provenance import made_here
from posterity.training import DatasetStream, Progress, Simulated, TrainingConfig, train
from posterity.trust.envelope import measure_envelope

__all__ = ["default_architecture", "fit"]


def fit(
    model: Problem | str | Callable[..., Any],
    example: Mapping[str, Any] | None = None,
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
        model: A NumPyro model, the name of a built-in one, or a problem.
        example: For a model of your own, one dataset: argument name -> array with rows first.
        envelope: Rows and variable plates to train for.
        covariates: How covariates are drawn; see `build_problem`.
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
    problem = as_problem(model, example, envelope=envelope, covariates=covariates)
    architecture = architecture or default_architecture(problem)
    objective, stream = objective or ForwardKL(), stream or Simulated()
    config = config or TrainingConfig(minutes=5.0)
    network = build_network(problem, architecture, rng_key=key_for(config.seed, "network"))
    settings = {
        "model": problem.name,
        "envelope": problem.envelope.to_json(),
        "architecture": architecture.to_json(),
        "objective": describe(objective),
        "stream": describe(stream),
        "covariates": problem.covariate_law.name,
    }
    result = train(
        problem,
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
        "data_envelope": measure_envelope(problem, stream, key_for(config.seed, "envelope")).to_json(),
        **made_here(),
    }
    return Estimator(problem, result.network, architecture, record)


def as_problem(
    model: Problem | str | Callable[..., Any],
    example: Mapping[str, Any] | None = None,
    *,
    envelope: Envelope | None = None,
    covariates: str | CovariateLaw = "resampled",
) -> Problem:
    """The problem of a model, of a built-in model's name, or the problem itself."""
    if isinstance(model, Problem):
        return model
    if isinstance(model, str):
        entry = lookup("model", model, MODELS)
        columns = dict(envelope.plates).get(entry.plate) if envelope else None
        law = None if covariates == "resampled" else covariates
        return entry.problem(envelope.rows if envelope else None, columns, covariates=law)
    if example is None:
        raise InputError(
            "fit(model, example): a model of your own needs one example dataset, a dict of arrays with rows first, "
            "which shows the shapes and types of its arguments"
        )
    return build_problem(model, example, envelope, covariates=covariates)


MAX_FULL_LATENTS = 64


def default_architecture(problem: Problem) -> Architecture:
    """DeepSets with a full-covariance Gaussian, or a diagonal one where a full one would be large.

    A full covariance has d²/2 outputs for each of the trunk's numbers, 500,000 weights at 64 latents.
    """
    return Architecture(family="full" if problem.space.size <= MAX_FULL_LATENTS else "diagonal")


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
    if isinstance(item, Problem):
        return item.name
    if isinstance(item, Mapping):
        return {str(name): _plain(entry) for name, entry in item.items()}
    if hasattr(item, "shape"):
        return list(np.shape(item))
    if isinstance(item, (list, tuple)):
        return [_plain(entry) for entry in item]
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return describe(item)
    return getattr(item, "__name__", type(item).__name__)
