"""Results as JSON that every reader accepts."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["without_nan"]


def without_nan(value: Any) -> Any:
    """Nested plain values with NaN and infinities as None: JSON has neither."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
