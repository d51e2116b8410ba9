"""Results as every reader accepts them: JSON without NaN, text that no terminal obeys, arrays in a few words."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["printable", "told_arrays", "without_nan"]


def without_nan(value: Any) -> Any:
    """Nested plain values with NaN and infinities as None: JSON has neither."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """The text with control characters spelled out: headers and labels of a table are a stranger's.

    A terminal obeys escape sequences; one in the name of a column could change its title or hide lines.
    """
    return text if text.isprintable() else "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def told_arrays(arrays: Mapping[str, Any]) -> str:
    """Names and shapes of arrays, for a `repr`: `x (64, 3), y (64,)`."""
    return ", ".join(f"{name} {tuple(getattr(array, 'shape', ()))}" for name, array in arrays.items())
