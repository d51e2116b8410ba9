"""Which axes of arguments and latents grow together: plates as the axes along which datasets vary."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from posterity.checks import InputError, did_you_mean
from posterity.problem.arguments import Model, model_name
from posterity.problem.envelope import Envelope
from posterity.problem.inspection import ModelTrace, abstract_trace

__all__ = ["AxisGroup", "axis_groups", "resize", "variable_axes"]


@dataclasses.dataclass(frozen=True)
class AxisGroup:
    """Axes of one size that change together when the arguments are resized.

    Attributes:
        size: Their size in the example.
        axes: Argument name -> axes (1 is the first after the rows).
        plates: Plates that follow.
        latent_axes: `(site, axis)` of latent values that follow.
    """

    size: int
    axes: Mapping[str, tuple[int, ...]]
    plates: tuple[str, ...]
    latent_axes: tuple[tuple[str, int], ...]


def axis_groups(model: Model, arrays: Mapping[str, Array], trace: ModelTrace) -> tuple[AxisGroup, ...]:
    """Finds, by resizing the example, what follows each axis of the arguments.

    Axes of equal size are resized together. A group that the model refuses to resize, or that nothing follows,
    is left out: its size is fixed.
    """
    sizes = sorted({size for array in arrays.values() for size in array.shape[1:]})
    groups = []
    for size in sizes:
        axes = {
            name: tuple(axis for axis in range(1, array.ndim) if array.shape[axis] == size)
            for name, array in arrays.items()
        }
        group = AxisGroup(size, {name: a for name, a in axes.items() if a}, (), ())
        changed = size - 1 if size > 1 else 2
        try:
            resized = _shapes(model, resize(arrays, group, changed))
        except InputError:  # the model cannot run at another size: these axes are fixed
            continue
        plates = tuple(name for name in trace.plates if resized.get(f"plate {name}") == (changed,))
        latent_axes = tuple(
            (site.name, axis)
            for site in trace.latents
            for axis, (old, new) in enumerate(zip(site.shape, resized[site.name], strict=False))
            if (old, new) == (size, changed)
        )
        if plates or latent_axes:
            groups.append(dataclasses.replace(group, plates=plates, latent_axes=latent_axes))
    return tuple(groups)


def resize(arrays: Mapping[str, Array], group: AxisGroup, size: int) -> dict[str, Array]:
    """The arguments with a group's axes cut to `size`, or filled up with zeros."""
    resized = dict(arrays)
    for name, axes in group.axes.items():
        for axis in axes:
            array = jax.lax.slice_in_dim(resized[name], 0, min(size, resized[name].shape[axis]), axis=axis)
            padding = [(0, 0)] * array.ndim
            padding[axis] = (0, size - array.shape[axis])
            resized[name] = jnp.pad(array, padding)
    return resized


def variable_axes(
    model: Model, groups: tuple[AxisGroup, ...], trace: ModelTrace, envelope: Envelope
) -> dict[str, AxisGroup]:
    """Variable plate of the envelope -> the argument axes that set its size.

    Raises:
        InputError: The plate is unknown, no argument sets its size, or two variable plates share a size.
    """
    where = f"model '{model_name(model)}'"
    chosen: dict[str, AxisGroup] = {}
    for plate in envelope.plates:
        if plate not in trace.plates:
            known = ", ".join(trace.plates) or "none"
            raise InputError(
                f"{where} has no plate '{plate}' that could vary; its plates are: {known}."
                f"{did_you_mean(plate, trace.plates)}"
            )
        group = next((g for g in groups if plate in g.plates), None)
        if group is None:
            raise InputError(
                f"{where}: plate '{plate}' cannot vary, because no argument's shape sets its size; write "
                f"numpyro.plate('{plate}', x.shape[-1])"
            )
        if group in chosen.values():
            raise InputError(
                f"{where}: plates {', '.join(group.plates)} have the same size {group.size} in the example; "
                "give an example where they differ"
            )
        chosen[plate] = group
    return chosen


def _shapes(model: Model, arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Site -> shape of its value, and `plate NAME` -> size."""

    def read(trace: Mapping) -> dict[str, tuple[int, ...]]:
        sites = {name: jnp.shape(s["value"]) for name, s in trace.items() if s["type"] == "sample"}
        return sites | {f"plate {name}": (s["args"][0],) for name, s in trace.items() if s["type"] == "plate"}

    return abstract_trace(model, arrays, read)
