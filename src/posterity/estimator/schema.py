"""What `estimator.json` may hold: every field's type and size, looked at before anything is made of it.

An estimator may come from a stranger. Nothing in it is run; but a shape is memory, a number of layers is time, and a
field that is read late would fail late.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from posterity.runtime.errors import InputError

__all__ = ["check_record"]

MOST_ENTRIES = 2**20  # of an example's array: it only shows shapes
MOST_AXES = 8
MOST_ROWS = 10**7
MOST_OF_PLATE = 10_000
MOST_OF_OPTION = 2**14  # widths, heads, layers
MOST_NAMES = 1000

Check = Callable[[Any], bool]


def check_record(record: Mapping[str, Any], where: str) -> None:
    """Makes sure that a record has the fields of format version 1, all of the right types and of sizes that make sense.

    Args:
        record: The parsed `estimator.json`.
        where: Start of the error message.

    Raises:
        InputError: A field is missing, unknown or unfit; the message names it.
    """
    for name, fits in _FIELDS.items():
        if name not in record:
            raise InputError(f"{where} does not fit this version of posterity: it has no '{name}'; train again")
        if not fits(record[name]):
            shown = repr(record[name])
            raise InputError(
                f"{where} is damaged: '{name}' does not hold what it should, but {shown[:100]}"
                f"{'...' if len(shown) > 100 else ''}"
            )
    unknown = record.keys() - _FIELDS.keys()
    if unknown:
        raise InputError(f"{where} is damaged, or was written by another version: unknown field '{min(unknown)}'")


def _is_int(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


def _is_option(value: Any) -> bool:
    """A switch, a word, or a number that is no size beyond all bounds."""
    return isinstance(value, bool) or _is_name(value) or (_is_number(value) and abs(value) <= MOST_OF_OPTION)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _is_mapping(fits: Check) -> Check:
    return lambda value: (
        isinstance(value, dict) and len(value) <= MOST_NAMES and all(_is_name(k) and fits(v) for k, v in value.items())
    )


def _has(fields: Mapping[str, Check]) -> Check:
    """Whether a value has exactly these fields."""
    return lambda value: (
        isinstance(value, dict) and value.keys() == fields.keys() and all(fits(value[k]) for k, fits in fields.items())
    )


def _is_range(most: int) -> Check:
    whole = _is_int(1, most)
    return lambda value: isinstance(value, list) and len(value) == 2 and all(map(whole, value)) and value[0] <= value[1]


def _is_shape(value: Any) -> bool:
    fits = isinstance(value, list) and len(value) <= MOST_AXES and all(map(_is_int(0, MOST_ENTRIES), value))
    return fits and math.prod(value) <= MOST_ENTRIES


def _is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_model(value: Any) -> bool:
    builtin = _has({"builtin": _is_name, "options": _is_mapping(_is_option)})
    own = _has({"name": _is_name, "source_sha256": _is_digest})
    return builtin(value) or own(value)


def _is_history(value: Any) -> bool:
    """How it was made: free, but for what answers are compared with."""
    return isinstance(value, dict) and _is_mapping(
        _has({"mean": _is_interval, "sd": _is_interval, "outlier": _is_interval})
    )(value.get("data_envelope"))


_FIELDS: Mapping[str, Check] = {
    "format": _is_name,
    "format_version": _is_int(1, 1000),
    "versions": _is_mapping(_is_name),
    "model": _is_model,
    "example": _is_mapping(_has({"shape": _is_shape, "dtype": lambda value: value in ("float32", "int32", "bool")})),
    "envelope": _has({"rows": _is_range(MOST_ROWS), "plates": _is_mapping(_is_range(MOST_OF_PLATE))}),
    "covariates": _has({"law": _is_name, "options": _is_mapping(_is_option)}),
    "architecture": _has(
        {
            "encoder": _is_name,
            "family": _is_name,
            "encoder_options": _is_mapping(_is_option),
            "family_options": _is_mapping(_is_option),
            "trunk_options": _is_mapping(_is_option),
        }
    ),
    "record": _is_history,
    "sha256": _is_mapping(_is_digest),
}
