"""What `posterity train` does where nothing was asked for, each choice with its reason."""

import dataclasses
from typing import Any

from posterity.amortized.architecture import Architecture
from posterity.amortized.objectives import OBJECTIVES, AbstractObjective, ForwardKL, ReverseKL, SymmetricKL
from posterity.estimator.train import default_architecture
from posterity.model.builtin import builtin_entry
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.simulator import Simulator
from posterity.training import STREAMS, DatasetStream, TrainingConfig

__all__ = ["Recipe", "choose_architecture", "choose_config", "choose_recipe", "reverse_options"]

DEFAULT_MINUTES = 5.0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is minimised, on which datasets, and why."""

    objective: AbstractObjective
    stream: DatasetStream
    why: str


def choose_config(*, minutes: float | None, steps: int | None, **given: Any) -> TrainingConfig:
    """Budget and settings: five minutes where no budget is given, defaults for what is None.

    Args:
        minutes: Time budget.
        steps: Step budget.
        **given: Other settings of `TrainingConfig`.
    """
    if minutes is None and steps is None:
        minutes = DEFAULT_MINUTES
    return TrainingConfig(
        minutes=minutes, steps=steps, **{name: value for name, value in given.items() if value is not None}
    )


def reverse_options(num_samples: int | None, stick_the_landing: bool, kl_warmup: float | None) -> dict[str, Any]:
    """Options of the reverse KL that the user gave."""
    options = {
        "num_samples": num_samples,
        "stick_the_landing": stick_the_landing or None,
        "kl_warmup": kl_warmup,
    }
    return {name: value for name, value in options.items() if value is not None}


def choose_recipe(
    simulator: Simulator, objective: str | None, stream: str | None, reverse_options: dict[str, Any]
) -> Recipe:
    """The objective and the stream, as asked for or by default.

    Args:
        simulator: What is learned.
        objective: Name in `OBJECTIVES`, if the user chose.
        stream: Name in `STREAMS`, if the user chose.
        reverse_options: Options of the reverse KL that the user gave.

    Raises:
        InputError: An unknown name, or options of the reverse KL without it.
    """
    entry = builtin_entry(simulator.model.function)
    z_scored = entry is not None and entry.standardized and all(a.kind == "real" for a in simulator.model.data)
    if objective is None:
        objective = "reverse" if stream == "tables" or (z_scored and stream is None) else "forward"
        why = _why(z_scored, stream)
    else:
        why = "as asked for"
    if stream is None:
        stream = "tables" if z_scored and objective == "reverse" else "simulated"
    lookup("objective", objective, OBJECTIVES)
    if objective == "forward":
        if reverse_options:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in reverse_options)
            raise InputError(f"{flags}: options of the reverse KL; add --objective reverse or symmetric")
        chosen: AbstractObjective = ForwardKL()
    else:
        reverse = ReverseKL(**reverse_options)
        chosen = reverse if objective == "reverse" else SymmetricKL(reverse=reverse)
    return Recipe(chosen, lookup("stream", stream, STREAMS)(), why)


def _why(z_scored: bool, stream: str | None) -> str:
    if stream == "tables":
        return "z-scored tables come without the latents that forward KL needs"
    if z_scored and stream is None:
        return (
            "real tables are z-scored for this model, and z-scored targets lie in the tail of what its prior "
            "simulates; reverse KL learns from such tables directly"
        )
    return "the default: learned from draws of the model's own joint, it covers all the mass of the posterior"


def choose_architecture(
    simulator: Simulator,
    encoder: str | None,
    family: str | None,
    options: dict[str, Any],
) -> tuple[Architecture, str]:
    """The architecture, as asked for or by default, and why.

    Args:
        simulator: What is learned.
        encoder: Name in `ENCODERS`, if the user chose.
        family: Name in `FAMILIES`, if the user chose.
        options: `encoder_options`, `family_options` and `trunk_options`.
    """
    default = default_architecture(simulator)
    architecture = dataclasses.replace(
        default, encoder=encoder or default.encoder, family=family or default.family, **options
    )
    if family is not None:
        return architecture, "as asked for"
    return architecture, f"the default for {simulator.model.space.size} latents"
