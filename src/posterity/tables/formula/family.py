"""What the table has to know of a family of responses."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

__all__ = ["FormulaFamily"]


@runtime_checkable
class FormulaFamily(Protocol):
    """What has to be known of a family of responses; `posterity.model.formula.family.ResponseFamily` is one."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def response(self) -> str:
        """Kind of response, a key of `RESPONSE_KINDS`."""
        ...

    @property
    def standardized(self) -> bool:
        """Its response is z-scored."""
        ...

    @property
    def location(self) -> str:
        """`intercept`; `cutpoints`, which stand in its place; `classes`, one predictor for each beyond the first."""
        ...

    @property
    def own(self) -> Mapping[str, str]:
        """Latents of its own, and their priors."""
        ...

    @property
    def in_target_units(self) -> tuple[str, ...]:
        """Those that are scales of the response."""
        ...

    @property
    def takes(self) -> tuple[str, ...]:
        """Arguments that it can do with besides: `trials`, `weights`, `offset`."""
        ...
