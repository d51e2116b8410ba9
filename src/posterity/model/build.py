"""From a model, an example and an envelope to a checked Problem."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from posterity.model.arguments import Argument, Model, example_arrays, model_name
from posterity.model.inspect import DataSite, ModelTrace, inspect_model
from posterity.model.plates import AxisGroup, axis_groups, resize, variable_axes
from posterity.model.problem import Problem
from posterity.model.soundness import check_problem
from posterity.model.space import LatentSpace
from posterity.model.trace import Shapes, abstract_trace, shapes_of
from posterity.runtime.errors import InputError, lookup
from posterity.simulation.covariates import COVARIATE_LAWS, CovariateLaw, ResampledRows
from posterity.simulation.envelope import Envelope

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
    shapes = shapes_of(arrays)
    trace = inspect_model(model, shapes)
    groups = axis_groups(model, shapes, trace)
    plate_axes = variable_axes(model, groups, trace, envelope)
    capacity = {plate: envelope.plates[plate][1] for plate in plate_axes}
    for plate, group in plate_axes.items():
        shapes = resize(shapes, group.axes, capacity[plate])
    arguments = tuple(_argument(name, shape, trace.data, plate_axes) for name, shape in shapes.items())
    served = {a.name: jax.ShapeDtypeStruct(shapes[a.name].shape, np.dtype(a.dtype)) for a in arguments}
    if served != shapes_of(arrays):
        trace = inspect_model(model, served)
        _check_capacity(model, trace, capacity)
    arguments = tuple(dataclasses.replace(a, is_index=_is_index(model, served, a)) for a in arguments)
    law = _covariate_law(covariates, {a.name: arrays[a.name] for a in arguments if a.role == "covariate"})
    problem = Problem(
        model=model,
        arguments=arguments,
        space=LatentSpace(trace.latents),
        data_sites=trace.data,
        envelope=envelope,
        covariate_law=law,
        plate_axes=plate_axes,
        axis_groups=groups,
        example_shapes={name: (array.shape, str(array.dtype)) for name, array in arrays.items()},
    )
    law.check(problem.covariates)
    if check:
        check_problem(problem)
    return problem


def _check_capacity(model: Model, trace: ModelTrace, capacity: Mapping[str, int]) -> None:
    for plate, size in capacity.items():
        if trace.plates.get(plate) != size:
            raise InputError(
                f"model '{model_name(model)}': plate '{plate}' has size {trace.plates.get(plate)} where the arguments "
                f"reach {size}; a variable plate must be exactly as long as the argument axis that sets it"
            )


def _argument(
    name: str,
    shape: jax.ShapeDtypeStruct,
    data_sites: tuple[DataSite, ...],
    plate_axes: Mapping[str, AxisGroup],
) -> Argument:
    plates: list[str | None] = [None] * (len(shape.shape) - 1)
    for plate, group in plate_axes.items():
        for axis in group.axes.get(name, ()):
            plates[axis - 1] = plate
    site = next((s for s in data_sites if s.argument == name), None)
    if site is None:
        return Argument(name, "covariate", shape.shape[1:], str(shape.dtype), tuple(plates))
    dtype = "float32" if site.kind == "real" else "int32"
    return Argument(name, "data", shape.shape[1:], dtype, tuple(plates), site.kind, site.num_classes)


def _is_index(model: Model, shapes: Shapes, argument: Argument) -> bool:
    """Whether the model refuses real numbers for a covariate of whole numbers."""
    if argument.role == "data" or argument.dtype != "int32":
        return False
    real = jax.ShapeDtypeStruct(shapes[argument.name].shape, np.dtype("float32"))
    try:
        abstract_trace(model, {**shapes, argument.name: real}, lambda trace: None)
    except InputError:
        return True
    return False


def _covariate_law(covariates: str | CovariateLaw, rows: Mapping[str, np.ndarray]) -> CovariateLaw:
    if not isinstance(covariates, str):
        return covariates
    law = lookup("covariate law", covariates, COVARIATE_LAWS)
    return law({name: jnp.asarray(array) for name, array in rows.items()}) if law is ResampledRows else law()
