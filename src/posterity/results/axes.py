"""Names of the axes of latents, data and covariates, and of the entries along them."""

from collections.abc import Mapping, Sequence

import numpy as np

from posterity.model.arguments import Argument
from posterity.model.model import Model
from posterity.model.sites import ROW_PLATE

__all__ = ["active_entries", "argument_axes", "latent_axes", "latent_entries", "row_dim"]


def row_dim(model: Model) -> str:
    """Name of the axis of rows: the model's own plate, or `observations` where the rows have none."""
    return model.data_sites[0].plates[0] or ROW_PLATE


def argument_axes(
    model: Model, entries: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
    """Axis names of each argument, rows first where there are rows, and the entries along them.

    An axis along a plate is called like the plate; any other has a name of its own.

    Args:
        model: Whose arguments.
        entries: Plate -> names of its entries.
        columns: Argument -> names of its columns.
    """
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, list[str]] = {}
    for argument in model.arguments:
        if model.whole:
            dims[argument.name] = _whole_axes(model, argument)
            continue
        names = [row_dim(model)]
        for axis in range(1, 1 + len(argument.shape)):
            plate = _plate_along(model, argument.name, axis)
            name = plate if plate and plate not in names else f"{argument.name}_dim_{axis - 1}"
            names.append(name)
            if name in entries:
                coords[name] = list(entries[name])
            elif argument.name in columns and axis == 1:
                coords[name] = list(columns[argument.name])
        of_groups = any(argument.name in group.arrays for group in model.groups)
        dims[argument.name] = tuple(names[1:] if of_groups else names)  # which is the same in every row
    return dims, coords


def _whole_axes(model: Model, argument: Argument) -> tuple[str, ...]:
    site = next((site for site in model.data_sites if site.argument == argument.name), None)
    along = () if site is None else site.plates
    plates = (*along, *[None] * (len(argument.shape) - len(along)))
    return tuple(plate or f"{argument.name}_dim_{axis}" for axis, plate in enumerate(plates))


def latent_entries(
    model: Model, sizes: Mapping[str, int], columns: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Plate, or `site:axis` for an axis without a plate -> names of its entries in this dataset.

    Args:
        model: The model.
        sizes: Entries of each variable plate.
        columns: Argument name -> names of its columns; they name whatever follows that argument's axis.
    """
    entries = {plate: [str(i) for i in range(size)] for plate, size in sizes.items()}
    for group in model.axis_groups:
        names = next((list(columns[name]) for name in group.axes if name in columns), None)
        if names is None:
            continue
        for plate in group.plates:
            entries[plate] = names
        for site, axis in group.latent_axes:
            entries[f"{site}:{axis}"] = names
    return entries


def active_entries(model: Model, latents: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Latents cut to the plate entries that the dataset has.

    Args:
        model: The model.
        latents: Site -> draws at the capacity of every plate.
        sizes: Entries of each variable plate.
    """
    active = {}
    for site in model.space.sites:
        cut = tuple(slice(sizes.get(plate)) if plate else slice(None) for plate in site.plates)
        active[site.name] = latents[site.name][(slice(None), *cut)]
    return active


def latent_axes(
    model: Model, entries: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
    """Axis names of each latent, and the entries along them.

    Args:
        model: Whose latents.
        entries: Plate, or `site:axis`, -> names of its entries.
    """
    dims: dict[str, tuple[str, ...]] = {}
    coords: dict[str, list[str]] = {}
    for site in model.space.sites:
        plates = (*site.plates, *[None] * site.event_dim)
        names = tuple(plate or f"{site.name}_dim_{axis}" for axis, plate in enumerate(plates))
        dims[site.name] = names
        coords |= dict(zip(names, model.space.axis_entries(site, entries), strict=True))
    return dims, coords


def _plate_along(model: Model, argument: str, axis: int) -> str | None:
    for group in model.axis_groups:
        if axis in group.axes.get(argument, ()) and group.plates:
            return group.plates[0]
    site = next((s for s in model.data_sites if s.argument == argument), None)
    return site.plates[axis] if site is not None and axis < len(site.plates) else None
