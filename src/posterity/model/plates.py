"""Which axes of arguments and latents grow together: plates as the axes along which datasets vary."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from posterity.model.arguments import ModelFunction, model_name
from posterity.model.sites import Axes, AxisGroup, ModelTrace
from posterity.model.trace import Shapes, Trace, abstract_trace, is_observed, log_prob_shape
from posterity.runtime.errors import InputError, did_you_mean

__all__ = ["axis_groups", "cut", "refuse_stragglers", "resize", "shapes_of_sites", "variable_axes"]


def axis_groups(model: ModelFunction, shapes: Shapes, trace: ModelTrace) -> tuple[AxisGroup, ...]:
    """Finds, by resizing the example, what follows each axis of the arguments.

    Each axis is resized alone. Those that the model refuses to resize alone are tried again together, then with
    all others of their size. An axis that nothing follows, or that cannot be resized at all, has a fixed size and is
    left out.
    """
    groups: list[AxisGroup | None] = []
    for size in sorted({size for shape in shapes.values() for size in shape.shape[1:]}):
        alike = [
            (name, axis) for name, s in shapes.items() for axis, have in enumerate(s.shape) if axis and have == size
        ]
        alone = [_followers(model, shapes, trace, size, [one]) for one in alike]
        stubborn = [one for one, group in zip(alike, alone, strict=True) if group is None]
        groups += alone
        if stubborn:
            joint = _followers(model, shapes, trace, size, stubborn)
            groups.append(joint or _followers(model, shapes, trace, size, alike))
    return tuple(group for group in groups if group is not None and (group.plates or group.latent_axes))


def _followers(
    model: ModelFunction, shapes: Shapes, trace: ModelTrace, size: int, pairs: Sequence[tuple[str, int]]
) -> AxisGroup | None:
    """What becomes one larger when these axes of arguments do; None if the model fails."""
    axes = {name: tuple(axis for other, axis in pairs if other == name) for name, _ in pairs}
    try:
        found = abstract_trace(model, resize(shapes, axes, size + 1), shapes_of_sites)
    except InputError:
        return None
    grown = {name: found.get(f"plate {name}") for name, old in trace.plates.items() if old == size}
    plates = tuple(name for name, new in grown.items() if new == (size + 1,))
    latent_axes = tuple(
        (site.name, axis)
        for site in trace.latents
        for axis, (old, new) in enumerate(zip(site.shape, found[site.name], strict=False))
        if (old, new) == (size, size + 1)
    )
    return AxisGroup(size, axes, plates, latent_axes)


def shapes_of_sites(trace: Trace) -> dict[str, tuple[int, ...]]:
    """Site -> shape of its value, and `plate NAME` -> size; refuses data that do not fit their distribution."""
    for site in trace.values():
        if is_observed(site):
            log_prob_shape("", site)
    sites = {name: jnp.shape(s["value"]) for name, s in trace.items() if s["type"] == "sample"}
    return sites | {f"plate {name}": (s["args"][0],) for name, s in trace.items() if s["type"] == "plate"}


def resize(shapes: Shapes, axes: Axes, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of arguments with some axes changed to `size`."""
    resized = dict(shapes)
    for name in axes:
        changed = tuple(size if i in axes[name] else old for i, old in enumerate(shapes[name].shape))
        resized[name] = jax.ShapeDtypeStruct(changed, shapes[name].dtype)
    return resized


def cut(values: Mapping[str, Any], axes: Axes, size: int) -> dict[str, Any]:
    """The arguments with some axes cut to their first `size` entries."""
    shorter = dict(values)
    for name in axes:
        for axis in axes[name]:
            shorter[name] = jax.lax.slice_in_dim(shorter[name], 0, size, axis=axis)
    return shorter


def variable_axes(
    model: ModelFunction, groups: tuple[AxisGroup, ...], trace: ModelTrace, plates: Iterable[str]
) -> dict[str, AxisGroup]:
    """Variable plate -> the argument axes that set its size.

    Raises:
        InputError: The plate is unknown or holds the rows, no argument sets its size, or something else grows
            with it: another plate, or a latent outside it.
    """
    where = f"model '{model_name(model)}'"
    chosen: dict[str, AxisGroup] = {}
    for plate in plates:
        if plate not in trace.plates:
            known = ", ".join(p for p in trace.plates if p not in trace.row_plates) or "none"
            raise InputError(
                f"{where} has no plate '{plate}' that could vary; its plates are: {known}."
                f"{did_you_mean(plate, trace.plates)}"
            )
        if plate in trace.row_plates:
            raise InputError(f"{where}: plate '{plate}' holds the rows; their number varies as it is")
        following = [g for g in groups if plate in g.plates]
        if not following:
            raise InputError(
                f"{where}: plate '{plate}' cannot vary, because no argument's shape sets its size; write "
                f"numpyro.plate('{plate}', x.shape[-1])"
            )
        refuse_stragglers(where, plate, following[0], trace)
        chosen[plate] = following[0]
    return chosen


def refuse_stragglers(where: str, plate: str, group: AxisGroup, trace: ModelTrace) -> None:
    """Whatever grows with a variable plate must lie inside it, or masks would miss it.

    Raises:
        InputError: Another plate grows with it, or a latent outside it.
    """
    others = [other for other in group.plates if other != plate]
    if others:
        arguments = ", ".join(f"'{name}'" for name in group.axes)
        raise InputError(
            f"{where}: plates '{plate}' and '{others[0]}' both grow with {arguments}. Use one plate name for both; or, "
            f"if they only happen to have the same size {group.size} in the example, give one where they differ"
        )
    plates = {site.name: (*site.plates, *[None] * site.event_dim) for site in trace.latents}
    for site, axis in group.latent_axes:
        if plates[site][axis] != plate:
            raise InputError(
                f"{where}: latent site '{site}' grows with plate '{plate}' but lies outside it and cannot be masked; "
                f"sample it inside numpyro.plate('{plate}', ...), without to_event"
            )
