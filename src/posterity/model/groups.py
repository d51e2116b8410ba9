"""Groups as an axis: a plain number among the arguments sets a plate's size, which may differ from dataset to dataset.

A program such as `model(x, school, num_schools, y)` with `numpyro.plate("schools", num_schools)` is read at a number
of groups that serves many datasets, and the groups that a dataset does not have are masked, as entries of any other
plate that varies. Inside, the number stands in every row, so that a dataset is arrays with rows first and no more.
"""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from posterity.model.arguments import ModelFunction, model_name
from posterity.model.indices import index_sizes
from posterity.model.plates import refuse_stragglers, resize, shapes_of_sites
from posterity.model.sites import AxisGroup, ModelTrace
from posterity.model.trace import Shapes, abstract_trace
from posterity.runtime.errors import InputError

__all__ = ["GroupPlate", "SizedProgram", "capacity_for", "find_groups", "in_each_row"]


MOST_REPEATED = 20_000_000
"""Numbers that rows may repeat of their groups: 80 MB."""


class SizedProgram:
    """A program with the sizes of its groups written into it, whatever the arrays say.

    Attributes:
        func: The program.
        sizes: Argument that sets a size -> the size.
        of_groups: Array with one entry per group, which every row repeats -> the argument that sets its length.
    """

    def __init__(self, func: ModelFunction, sizes: Mapping[str, int], of_groups: Mapping[str, str] | None = None):
        self.func, self.sizes, self.of_groups = func, dict(sizes), dict(of_groups or {})
        self.__signature__ = inspect.signature(functools.partial(func, **self.sizes))

    def __call__(self, **arrays: Any) -> Any:
        """Runs the program."""
        own = {name: array[0] if name in self.of_groups else array for name, array in arrays.items()}
        return self.func(**{**own, **self.sizes})

    def resized(self, sizes: Mapping[str, int]) -> "SizedProgram":
        """The same program with some other sizes."""
        return SizedProgram(self.func, {**self.sizes, **sizes}, self.of_groups)

    def fitting(self, shapes: Shapes) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of arrays, those of groups as long as the program's own sizes."""
        fitted = dict(shapes)
        for name, argument in self.of_groups.items():
            fitted = resize(fitted, {name: (1,)}, self.sizes[argument])
        return fitted


@dataclasses.dataclass(frozen=True)
class GroupPlate:
    """A plate whose size is a plain number among the arguments.

    Attributes:
        plate: Its name.
        argument: The argument that sets its size.
        indices: Arguments that pick from it, such as the school of each row.
        arrays: Arguments with one entry per group, such as the income of each school.
        axes: What else grows with the number.
    """

    plate: str
    argument: str
    indices: tuple[str, ...]
    arrays: tuple[str, ...]
    axes: AxisGroup


def capacity_for(size: int) -> int:
    """Number of groups to read a program at: the next of 1, 2, 3, 4, 6, 8, 12, 16, ..., so that few serve all."""
    power = 1
    while power < size:
        power *= 2
    return 3 * power // 4 if power >= 4 and 3 * power // 4 >= size else power


def in_each_row(what: str, array: np.ndarray, num_rows: int) -> np.ndarray:
    """What is known of groups, repeated in each row.

    Args:
        what: Start of an error message.
        array: One entry per group.
        num_rows: Number of rows.

    Raises:
        InputError: That would take too much memory.
    """
    if num_rows * array.size > MOST_REPEATED:
        raise InputError(
            f"{what} has {array.size} numbers of groups, which each of {num_rows} rows would repeat; let the program "
            "take it row by row, as income[school]"
        )
    return np.broadcast_to(array, (num_rows, *array.shape))


def find_groups(program: SizedProgram, shapes: Shapes, trace: ModelTrace) -> tuple[GroupPlate, ...]:
    """The plates that follow each of a program's sizes.

    Args:
        program: The program.
        shapes: Argument name -> shape and dtype of its arrays, rows first.
        trace: What it showed at its sizes.

    Raises:
        InputError: A size sets no plate, or something follows it that cannot be masked.
    """
    indices = index_sizes(program, shapes)
    return tuple(_find_group(program, shapes, trace, argument, indices) for argument in program.sizes)


def _find_group(
    program: SizedProgram, shapes: Shapes, trace: ModelTrace, argument: str, indices: Mapping[str, int]
) -> GroupPlate:
    where = f"model '{model_name(program)}'"
    size = program.sizes[argument]
    larger = program.resized({argument: size + 1})
    longer_shapes = larger.fitting(shapes)
    after = abstract_trace(larger, longer_shapes, shapes_of_sites)
    plates = tuple(name for name, old in trace.plates.items() if after.get(f"plate {name}") == (old + 1,))
    latent_axes = tuple(
        (site.name, axis)
        for site in trace.latents
        for axis, (old, new) in enumerate(zip(site.shape, after.get(site.name, site.shape), strict=False))
        if old != new
    )
    arrays = tuple(name for name, sets in program.of_groups.items() if sets == argument)
    group = AxisGroup(size, {argument: (), **dict.fromkeys(arrays, (1,))}, plates, latent_axes)
    if not plates or any(trace.plates[plate] != size for plate in plates) or not latent_axes:
        raise InputError(f"{where}: '{argument}' sets the size of no plate of latents")
    refuse_stragglers(where, plates[0], group, trace)
    longer = index_sizes(larger, longer_shapes)
    picking = tuple(name for name, length in indices.items() if longer.get(name) == length + 1)
    return GroupPlate(plates[0], argument, picking, arrays, group)
