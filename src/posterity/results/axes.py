"""Names of the axes of data and covariates, so that they meet those of the latents."""

from collections.abc import Mapping, Sequence

from posterity.problem import Problem
from posterity.problem.inspection import ROW_PLATE

__all__ = ["argument_axes", "row_dim"]


def row_dim(problem: Problem) -> str:
    """Name of the axis of rows: the model's own plate, or `observations` where the rows have none."""
    return problem.data_sites[0].plates[0] or ROW_PLATE


def argument_axes(
    problem: Problem, entries: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
    """Axis names of each argument, rows first, and the entries along them.

    An axis along a plate is called like the plate; any other has a name of its own.

    Args:
        problem: Whose arguments.
        entries: Plate -> names of its entries.
        columns: Argument -> names of its columns.
    """
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, list[str]] = {}
    for argument in problem.arguments:
        names = [row_dim(problem)]
        for axis in range(1, 1 + len(argument.shape)):
            plate = _plate_along(problem, argument.name, axis)
            name = plate if plate and plate not in names else f"{argument.name}_dim_{axis - 1}"
            names.append(name)
            if name in entries:
                coords[name] = list(entries[name])
            elif argument.name in columns and axis == 1:
                coords[name] = list(columns[argument.name])
        dims[argument.name] = tuple(names)
    return dims, coords


def _plate_along(problem: Problem, argument: str, axis: int) -> str | None:
    for group in problem.axis_groups:
        if axis in group.axes.get(argument, ()) and group.plates:
            return group.plates[0]
    site = next((s for s in problem.data_sites if s.argument == argument), None)
    return site.plates[axis] if site is not None and axis < len(site.plates) else None
