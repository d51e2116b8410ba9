"""From a model, an example and an envelope to a checked Problem."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array

from posterity.checks import InputError, lookup
from posterity.problem.arguments import Argument, Model, example_arrays, model_name
from posterity.problem.covariates import COVARIATE_LAWS, CovariateLaw, ResampledRows
from posterity.problem.envelope import Envelope
from posterity.problem.inspection import DataSite, LatentSite, ModelTrace, inspect_model
from posterity.problem.plates import AxisGroup, axis_groups, resize, variable_axes
from posterity.problem.problem import Problem
from posterity.problem.soundness import check_problem
from posterity.problem.space import LatentSpace

__all__ = ["build_problem"]


def build_problem(
    model: Model,
    example: Mapping[str, Any],
    envelope: Envelope | None = None,
    *,
    covariates: str | CovariateLaw = "resampled",
    check: bool = True,
) -> Problem:
    """Traces a model once, checks that it can serve, and returns its mathematics.

    Args:
        model: A NumPyro model. The argument handed to `obs=` is data, sites without `obs` are latents, the
            other array arguments are covariates.
        example: One dataset: argument name -> array with rows first. Its values may be made up; its shapes
            and dtypes count, and with `covariates="resampled"` so do its rows.
        envelope: Rows and plates that training covers; rows 16 to 128 and no variable plate if None.
        covariates: How covariates are drawn in training: "resampled" (rows of the example), "normal", "table",
            or an object with the methods of `CovariateLaw`.
        check: Simulate and compare densities to make sure that masks are sound. Only a trusted artifact that
            was checked when it was made goes without.

    Raises:
        InputError: The model cannot serve; the message names the site and the cure.
    """
    envelope = envelope or Envelope()
    arrays = example_arrays(model, example)
    example_shapes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
    trace = inspect_model(model, arrays)
    groups = axis_groups(model, arrays, trace)
    plate_axes = variable_axes(model, groups, trace, envelope)
    example_rows = dict(arrays)
    capacity = {plate: envelope.plates[plate][1] for plate in plate_axes}
    for plate, group in plate_axes.items():
        arrays = resize(arrays, group, capacity[plate])
    if capacity:
        trace = inspect_model(model, arrays)
    arguments = tuple(_argument(name, array, trace.data, plate_axes) for name, array in arrays.items())
    law = _covariate_law(covariates, {a.name: example_rows[a.name] for a in arguments if a.role == "covariate"})
    problem = Problem(
        model=model,
        arguments=arguments,
        space=LatentSpace(_only_variable_plates(trace, capacity)),
        data_sites=trace.data,
        envelope=envelope,
        covariate_law=law,
        plate_axes=plate_axes,
        axis_groups=groups,
        example_shapes=example_shapes,
    )
    law.check(problem.covariates)
    _refuse_too_wide(problem, example, plate_axes)
    if check:
        check_problem(problem)
    return problem


def _argument(
    name: str, array: Array, data_sites: tuple[DataSite, ...], plate_axes: Mapping[str, AxisGroup]
) -> Argument:
    plates: list[str | None] = [None] * (array.ndim - 1)
    for plate, group in plate_axes.items():
        for axis in group.axes.get(name, ()):
            plates[axis - 1] = plate
    site = next((s for s in data_sites if s.argument == name), None)
    if site is None:
        return Argument(name, "covariate", array.shape[1:], str(array.dtype), tuple(plates))
    dtype = "float32" if site.kind == "real" else "int32"
    return Argument(name, "data", array.shape[1:], dtype, tuple(plates), site.kind, site.num_classes)


def _covariate_law(covariates: str | CovariateLaw, rows: Mapping[str, Array]) -> CovariateLaw:
    if not isinstance(covariates, str):
        return covariates
    law = lookup("covariate law", covariates, COVARIATE_LAWS)
    return law(dict(rows)) if law is ResampledRows else law()


def _only_variable_plates(trace: ModelTrace, capacity: Mapping[str, int]) -> tuple[LatentSite, ...]:
    """Checks that variable plates have their capacity now; sites keep their plate names for labels."""
    for plate, size in capacity.items():
        if trace.plates[plate] != size:
            raise InputError(
                f"plate '{plate}' has size {trace.plates[plate]} where the arguments reach {size}; a variable plate "
                "must be exactly as long as the argument axis that sets it"
            )
    return trace.latents


def _refuse_too_wide(
    problem: Problem, example: Mapping[str, Any], plate_axes: Mapping[str, AxisGroup]
) -> None:
    for plate, group in plate_axes.items():
        if group.size > problem.capacity[plate] and problem.covariate_law.name == "resampled":
            raise InputError(
                f"model '{model_name(problem.model)}': the example has {group.size} {plate}, more than the "
                f"envelope's {problem.capacity[plate]}; widen the envelope or drop columns"
            )
