"""A model's function as a pickle can hold it: programs of formulas as text, others by name, as pickle does."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from posterity.model.arguments import ModelFunction, model_name
from posterity.model.formula import run_program

__all__ = ["PortableFunction", "portable"]


class PortableFunction(NamedTuple):
    """What of a function can be pickled.

    Attributes:
        function: The function; None where there is `text`.
        text: Source of a formula's program, and its name.
        keywords: Arguments that are bound.
    """

    function: ModelFunction | None
    text: tuple[str, str] | None
    keywords: Mapping[str, Any]

    def restored(self) -> ModelFunction:
        """The function itself."""
        function = self.function if self.text is None else run_program(*self.text)
        assert function is not None
        return functools.partial(function, **self.keywords) if self.keywords else function


def portable(function: ModelFunction) -> PortableFunction:
    """A function in the form that a pickle can hold.

    Args:
        function: A NumPyro program, or a `functools.partial` of one with keywords.
    """
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial) and not function.args:
        keywords, function = {**function.keywords, **keywords}, function.func
    text = getattr(function, "program_text", None)
    if text is None:
        return PortableFunction(function, None, keywords)
    return PortableFunction(None, (text, model_name(function)), keywords)
