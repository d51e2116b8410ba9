"""`train`: from a model to a trained estimator, with sensible choices where none are given."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posterity.amortized.architecture import Architecture
from posterity.amortized.network import build_network, num_params
from posterity.amortized.objectives import AbstractObjective
from posterity.estimator.estimator import Estimator
from posterity.estimator.training_example import Reading, training_simulator
from posterity.estimator.training_recipe import Choices, TrainingPlan, choose_config
from posterity.runtime.errors import InputError
from posterity.runtime.keys import key_for
from posterity.runtime.provenance import made_here
from posterity.simulation.covariates import CovariateLaw
from posterity.simulation.simulator import Simulator
from posterity.training.checkpoint import check_run_folder
from posterity.training.config import TrainingConfig
from posterity.training.data_envelope import measure_envelope
from posterity.training.loop import Progress, run_training
from posterity.training.stream import DatasetStream

__all__ = ["describe", "train"]


def train(
    model: str | Callable[..., Any] | Simulator,
    like: Any = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    rows: tuple[int, int] | None = None,
    plates: Mapping[str, tuple[int, int]] | None = None,
    target: str | None = None,
    standardize: bool = False,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    covariates: str | CovariateLaw | None = None,
    objective: str | AbstractObjective | None = None,
    stream: str | DatasetStream | None = None,
    architecture: Architecture | Mapping[str, Any] | None = None,
    encoder: str | None = None,
    family: str | None = None,
    options: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    config: TrainingConfig | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    on_plan: Callable[[TrainingPlan], None] = lambda plan: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Estimator:
    """Trains an estimator of a model's posterior; `posterity train` is this function as a command.

    All arguments are checked before anything slow begins. What is None is chosen by `training_recipe`.

    Args:
        model: Name of a built-in model, a NumPyro model, or what simulates one, with its sizes and covariates.
        like: One dataset of the kind that the estimator is for: a dict of arrays as the model takes them, or a table (a
            CSV or Parquet file, or a frame of any library). A model of your own needs it. Where it is given, rows of
            it are what training draws covariates from, and a built-in model is trained for as many columns.
        minutes: Time budget, compilation excluded; five where no budget is given.
        steps: Step budget. With both, the first that is used up ends the run.
        rows: Fewest and most rows to train for; 16 to 128, or wider to hold those of `like`, if None.
        plates: Plate whose size may vary -> smallest and largest size, such as `{"features": (2, 8)}`.
        target: Column of the table that the model's observed vector takes.
        standardize: Z-score the table for a model of your own, too; built-in models that are defined on z-scores get
            them anyway.
        categorical: Columns of the table to one-hot encode.
        drop_missing: Leave out rows of the table with a missing cell.
        covariates: How covariates are drawn: "resampled" (rows of `like`), "normal", "table" or a value. Rows of `like`
            where it is given, if None.
        objective: What is minimised: "forward", "reverse", "symmetric", or a value such as `ReverseKL(num_samples=8)`.
        stream: Where training datasets come from: "simulated", "tables" (z-scored), or a value such as `RealRows`.
        architecture: Parts of the network, or some of them: `Architecture(...)`, or a dict of its fields.
        encoder: "deep_sets", "set_transformer", "transformer" or "gru"; goes before the one of `architecture`.
        family: "diagonal", "full", "precision" or "flow"; goes before the one of `architecture`.
        options: Options of a built-in model, such as `{"prior_sd": 2.5}`.
        batch_size: Datasets per step.
        learning_rate: Peak learning rate.
        seed: Decides initial weights, datasets and draws.
        config: All settings of training as one value, in place of `minutes`, `steps`, `batch_size`, `learning_rate` and
            `seed`.
        folder: Where checkpoints and metrics go, so that the run can be resumed.
        resume: Go on with the run in `folder`.
        on_plan: Called with what will be done and why, once all is checked.
        on_progress: Called after every chunk of steps.

    Returns:
        The estimator; `record["training"]["stop_reason"]` says why training ended.

    Raises:
        InputError: The model cannot serve, a name or an option is unknown, or arguments do not go together.
    """
    config = choose_config(
        config, minutes=minutes, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    choices = Choices.of(objective, stream, architecture, encoder, family)
    if folder is not None:
        check_run_folder(Path(folder), resume=resume)
    elif resume:
        raise InputError("train: resume=True goes on with the run in a folder; give folder=")
    reading = Reading(target, standardize, tuple(categorical), drop_missing)
    simulator = training_simulator(
        model, like, rows=rows, plates=plates, covariates=covariates, options=options, reading=reading
    )
    plan = choices.plan(simulator, config)
    on_plan(plan)
    return _trained(plan, None if folder is None else Path(folder), resume, on_progress)


def _trained(
    plan: TrainingPlan, folder: Path | None, resume: bool, on_progress: Callable[[Progress], None]
) -> Estimator:
    simulator, seed = plan.simulator, plan.config.seed
    network = build_network(simulator, plan.architecture, rng_key=key_for(seed, "network"))
    settings = {
        "model": simulator.model.name,
        "envelope": simulator.envelope.to_json(),
        "architecture": plan.architecture.to_json(),
        "objective": describe(plan.objective),
        "stream": describe(plan.stream),
        "covariates": simulator.covariate_law.name,
    }
    result = run_training(
        simulator,
        network,
        plan.objective,
        plan.stream,
        plan.config,
        folder=folder,
        settings=settings,
        resume=resume,
        on_progress=on_progress,
    )
    record = {
        **settings,
        "config": plan.config.to_json(),
        "training": result.to_json(),
        "num_params": num_params(network),
        "data_envelope": measure_envelope(simulator, plan.stream, key_for(seed, "envelope")).to_json(),
        **made_here(),
    }
    return Estimator(simulator.model, result.network, simulator, plan.architecture, record)


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
