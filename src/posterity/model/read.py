"""From a NumPyro program and one dataset to a model, read once for each set of shapes."""

import copyreg
import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import numpy as np

from posterity.model.arguments import Argument, ModelFunction, argument_arrays, example_arrays, model_name
from posterity.model.fingerprint import fingerprint
from posterity.model.groups import SizedProgram, capacity_for, find_groups
from posterity.model.indices import index_sizes
from posterity.model.inspect import inspect_model
from posterity.model.model import Model
from posterity.model.plates import axis_groups, resize, variable_axes
from posterity.model.portable import PortableFunction, portable
from posterity.model.sites import AxisGroup, DataSite, ModelTrace
from posterity.model.space import LatentSpace
from posterity.model.trace import Shapes, abstract_trace, shapes_of
from posterity.model.whole import WholeProgram, inspect_whole, whole_arguments
from posterity.runtime.errors import InputError
from posterity.runtime.threads import NUMPYRO

__all__ = ["read_model", "read_whole", "with_more_groups"]

MOST_KEPT = 128
FEWEST_ROWS = 7

_kept: OrderedDict[Hashable, Model] = OrderedDict()
# Several readings of one program are tried: those that fail cost time only once.
_refused: OrderedDict[Hashable, InputError] = OrderedDict()


def read_model(
    function: ModelFunction,
    example: Mapping[str, Any],
    capacity: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    of_groups: Mapping[str, str] | None = None,
) -> Model:
    """The mathematics of a NumPyro program; the same object for the same program, shapes and capacities.

    Args:
        function: A NumPyro program. The argument handed to `obs=` is data, sites without `obs` are latents, the other
            array arguments are covariates.
        example: One dataset: argument name -> array with rows first. Its values may be made up, and its number of rows
            means nothing; its other axes and dtypes count.
        capacity: Plate that may vary in size from dataset to dataset -> its largest size.
        sizes: Argument that sets a number of groups, which may vary, too -> the number to read the program at.
        of_groups: Argument with one entry per group, which every row of the example repeats -> the one that sets how
            many there are.

    Raises:
        InputError: The program cannot serve; the message names the site and the cure.
    """
    capacity = dict(capacity or {})
    program, own = function, fingerprint(function)
    if sizes:
        program = SizedProgram(function, sizes, of_groups)
        own = (own, tuple(sorted(sizes.items())), tuple(sorted((of_groups or {}).items())))
    shapes = shapes_of(example_arrays(program, example))
    shapes = program.fitting(shapes) if isinstance(program, SizedProgram) else shapes
    key = (own, _plain(_of_any_number(shapes)), tuple(sorted(capacity.items())))
    asked = (own, _plain(shapes), key[2])
    return _interned(key, asked, lambda: _read(program, shapes, capacity, key))


def with_more_groups(model: Model, sizes: Mapping[str, int]) -> Model:
    """The same program, read at numbers of groups that hold so many.

    Args:
        model: One with groups.
        sizes: Plate -> groups that it must hold.
    """
    assert isinstance(model.function, SizedProgram)
    at = {g.argument: max(capacity_for(sizes[g.plate]), model.capacity[g.plate]) for g in model.groups}
    return read_model(model.function.func, _zeros(model), _own_capacity(model), at, model.function.of_groups)


def read_whole(function: ModelFunction, example: Mapping[str, Any], reason: str) -> Model:
    """The same for a program without exchangeable rows: each dataset of these shapes counts as one observation.

    Args:
        function: A NumPyro program.
        example: One dataset: argument name -> array of any shape.
        reason: Why it has no exchangeable rows, for messages.

    Raises:
        InputError: The program cannot serve; the message names the site and the cure.
    """
    shapes = shapes_of(argument_arrays(function, example))
    key = (fingerprint(function), _plain(shapes), "one observation", reason)
    return _interned(key, key, lambda: _read_whole(function, shapes, reason, key))


def _zeros(model: Model) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in model.example_shapes.items()}


def _own_capacity(model: Model) -> dict[str, int]:
    """Capacities of the plates that arrays set, without those of groups."""
    of_groups = {group.plate for group in model.groups}
    return {plate: size for plate, size in model.capacity.items() if plate not in of_groups}


def _in_a_pickle(model: Model) -> tuple[Any, ...]:
    """A model is read again where it arrives, in a copy as well: then it is the one that is kept there."""
    program = model.function
    if isinstance(program, WholeProgram):
        return _again, (read_whole, portable(program.func), _zeros(model), model.whole)
    if isinstance(program, SizedProgram):
        sizes = program.sizes, program.of_groups
        return _again, (read_model, portable(program.func), _zeros(model), _own_capacity(model), *sizes)
    return _again, (read_model, portable(program), _zeros(model), model.capacity)


def _again(read: Callable[..., Model], function: PortableFunction, *arguments: Any) -> Model:
    return read(function.restored(), *arguments)


copyreg.pickle(Model, _in_a_pickle)


def _interned(key: Hashable, asked: Hashable, read: Callable[[], Model]) -> Model:
    """The model that is kept for `key`, or read now; what was refused for `asked` is refused again without a look."""
    with NUMPYRO:  # one at a time; it guards what is kept as well
        if key not in _kept:
            if refused := _refused.get(asked):
                raise type(refused)(str(refused))
            try:
                made = read()
            except InputError as error:
                _refused[asked] = type(error)(str(error))  # without its traceback, which holds the user's arrays
                _forget_oldest(_refused)
                raise
            key = made.key
            _kept.setdefault(key, made)
        _kept.move_to_end(key)
        model = _kept[key]
        _forget_oldest(_kept)
    return model


def _forget_oldest(kept: OrderedDict[Hashable, Any]) -> None:
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)


def _of_any_number(shapes: Shapes) -> dict[str, jax.ShapeDtypeStruct]:
    """The same arguments with a number of rows that no other axis has, whatever the example's own."""
    taken = {size for shape in shapes.values() for size in shape.shape[1:]}
    num_rows = next(n for n in itertools.count(FEWEST_ROWS) if n not in taken)
    return {name: jax.ShapeDtypeStruct((num_rows, *shape.shape[1:]), shape.dtype) for name, shape in shapes.items()}


def _plain(shapes: Shapes) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    return tuple((name, shape.shape, str(shape.dtype)) for name, shape in sorted(shapes.items()))


def _read(function: ModelFunction, shapes: Shapes, capacity: Mapping[str, int], key: tuple[Any, ...]) -> Model:
    try:
        return _read_shapes(function, _of_any_number(shapes), capacity, key)
    except InputError:
        # With the example's own number of rows it may pass; and if not, the message speaks of the user's numbers.
        return _read_shapes(function, shapes, capacity, (key[0], _plain(shapes), key[2]))


def _read_shapes(function: ModelFunction, example: Shapes, capacity: Mapping[str, int], key: tuple[Any, ...]) -> Model:
    trace = inspect_model(function, example)
    groups = axis_groups(function, example, trace)
    plate_axes = variable_axes(function, groups, trace, capacity)
    shapes = dict(example)
    for plate, group in plate_axes.items():
        shapes = resize(shapes, group.axes, capacity[plate])
    grouped = find_groups(function, shapes, trace) if isinstance(function, SizedProgram) else ()
    axes = {**plate_axes, **{group.plate: group.axes for group in grouped}}
    arguments = tuple(_argument(name, shape, trace.data, axes) for name, shape in shapes.items())
    served = {a.name: jax.ShapeDtypeStruct(shapes[a.name].shape, np.dtype(a.dtype)) for a in arguments}
    if served != example:
        trace = inspect_model(function, served)
        _check_capacity(function, trace, capacity)
    arguments = _with_indices(function, served, arguments)
    return Model(
        function=function,
        arguments=(*arguments, *[Argument(g.argument, "covariate", (), "int32", (), is_size=True) for g in grouped]),
        space=LatentSpace(trace.latents),
        data_sites=trace.data,
        capacity={**capacity, **{g.plate: g.axes.size for g in grouped}},
        plate_axes=plate_axes,
        axis_groups=(*groups, *[g.axes for g in grouped]),
        example_shapes={name: (shape.shape, str(shape.dtype)) for name, shape in example.items()},
        key=key,
        groups=grouped,
    )


def _read_whole(function: ModelFunction, example: Shapes, reason: str, key: tuple[Any, ...]) -> Model:
    trace = inspect_whole(function, example)
    arguments = whole_arguments(function, example, trace)
    served = {a.name: jax.ShapeDtypeStruct(a.shape, np.dtype(a.dtype)) for a in arguments}
    if served != example:
        trace = inspect_whole(function, served)
    return Model(
        function=WholeProgram(function),
        arguments=_with_indices(function, served, arguments),
        space=LatentSpace(trace.latents),
        data_sites=trace.data,
        capacity={},
        plate_axes={},
        axis_groups=(),
        example_shapes={name: (shape.shape, str(shape.dtype)) for name, shape in example.items()},
        key=key,
        whole=reason,
    )


def _check_capacity(function: ModelFunction, trace: ModelTrace, capacity: Mapping[str, int]) -> None:
    for plate, size in capacity.items():
        if trace.plates.get(plate) != size:
            raise InputError(
                f"model '{model_name(function)}': plate '{plate}' has size {trace.plates.get(plate)} where the "
                f"arguments reach {size}; a variable plate must be exactly as long as the argument axis that sets it"
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


def _with_indices(function: ModelFunction, shapes: Shapes, arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Says of every covariate of whole numbers whether it is an index, and how long the axis is that it picks from."""
    if not any(a.role == "covariate" and a.dtype == "int32" for a in arguments):
        return arguments
    sizes = index_sizes(function, shapes)
    return tuple(
        dataclasses.replace(a, is_index=True, num_entries=sizes.get(a.name, 0))
        if a.role == "covariate" and a.dtype == "int32" and (a.name in sizes or _is_whole(function, shapes, a))
        else a
        for a in arguments
    )


def _is_whole(function: ModelFunction, shapes: Shapes, argument: Argument) -> bool:
    """Whether the program refuses real numbers for a covariate."""
    real = jax.ShapeDtypeStruct(shapes[argument.name].shape, np.dtype("float32"))
    try:
        abstract_trace(function, {**shapes, argument.name: real}, lambda trace: None, by_row=False)
    except InputError:
        return True
    return False
