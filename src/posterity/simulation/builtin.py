"""The simulators of built-in models, with the sizes and covariates that they usually have."""

from typing import Any

from posterity.model.builtin import MODELS, BuiltinModel
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.covariates import CovariateLaw
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import Simulator, build_simulator

__all__ = ["builtin_simulator"]


def builtin_simulator(
    model: str | BuiltinModel,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
    *,
    covariates: str | CovariateLaw | None = None,
    check: bool = True,
    **options: Any,
) -> Simulator:
    """The simulator of a built-in model.

    Args:
        model: Its name, or its entry in `MODELS`.
        rows: Envelope of rows; its usual one if None.
        columns: Envelope of columns (features or dimensions).
        covariates: How covariates are drawn; see `build_simulator`. Table-like where the model is defined on z-scored
            columns, if None.
        check: See `build_simulator`.
        **options: Options of the model.

    Raises:
        InputError: There is no such model, or it cannot be simulated so.
    """
    entry = lookup("model", model, MODELS) if isinstance(model, str) else model
    envelope = Envelope(rows or entry.rows, {entry.plate: columns or entry.columns})
    law = covariates or ("normal" if entry.target is None else "table")
    if law == "resampled":
        raise InputError(
            f"covariates='resampled' draws rows of an example, and the built-in '{entry.name}' has none: give "
            "covariates=posterity.ResampledRows({...}), 'normal' or 'table'"
        )
    example = entry.example(envelope.plates[entry.plate][1])
    return build_simulator(entry.with_options(options), example, envelope, covariates=law, check=check)
