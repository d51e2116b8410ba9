"""Which network an estimator has: names and options, enough to build it again."""

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Architecture"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Names and options of a network's parts; options not given keep their defaults.

    Attributes:
        encoder: Name in `ENCODERS`.
        family: Name in `FAMILIES`.
        encoder_options: Options of the encoder.
        family_options: Options of the family.
        trunk_options: Options of the trunk.
    """

    encoder: str = "deep_sets"
    family: str = "full"
    encoder_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    family_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trunk_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            field.name: dict(value) if isinstance(value, Mapping) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }
