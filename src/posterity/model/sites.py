"""What a walk through a model shows: the sites that are inferred and observed, and the axes that grow together."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from numpyro.distributions.transforms import Transform

__all__ = ["ROW_PLATE", "Axes", "AxisGroup", "DataKind", "DataSite", "LatentSite", "ModelTrace"]

DataKind = Literal["real", "binary", "class", "count"]
"""What the values of data are; decides how tables are read and how rows enter a network."""

ROW_PLATE = "observations"
"""Plate of the exchangeable rows, where a model names it."""


@dataclasses.dataclass(frozen=True)
class LatentSite:
    """A site that is inferred.

    Attributes:
        name: Site name.
        shape: Shape of its value (batch axes, then event axes).
        event_dim: Number of event axes.
        plates: Plate name of each batch axis, or None.
        bijector: Maps unconstrained arrays onto the support.
        improper: Its prior is flat, and cannot be drawn from.
    """

    name: str
    shape: tuple[int, ...]
    event_dim: int
    plates: tuple[str | None, ...]
    bijector: Transform
    improper: bool = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape without the event axes."""
        return self.shape[: len(self.shape) - self.event_dim]


@dataclasses.dataclass(frozen=True)
class DataSite:
    """A site that observes an argument.

    Attributes:
        name: Site name.
        argument: The argument handed to `obs=`; in a model that counts as one observation, empty if it is none.
        plates: For each axis of its `log_prob` array, rows first, the plate along it, or None.
        kind: What its values are.
        num_classes: Number of classes where `kind` is `class`, else 0.
        fixed_support: Its support does not follow a latent, as that of Uniform(0, theta) would.
        by_row: Its log probabilities run along the rows; else all belong to one observation.
    """

    name: str
    argument: str
    plates: tuple[str | None, ...]
    kind: DataKind
    num_classes: int
    fixed_support: bool = True
    by_row: bool = True


Axes = Mapping[str, tuple[int, ...]]
"""Argument name -> some of its axes; 1 is the first after the rows."""


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
    axes: Axes
    plates: tuple[str, ...]
    latent_axes: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class ModelTrace:
    """What the model showed: latent sites, data sites, plate sizes, and the plates that are the rows."""

    latents: tuple[LatentSite, ...]
    data: tuple[DataSite, ...]
    plates: dict[str, int]
    row_plates: frozenset[str]
