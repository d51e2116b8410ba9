"""Which model an estimator belongs to: a built-in's name and options, or a name and the hash of its source."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from posterity.model.arguments import model_name
from posterity.model.builtin import MODELS

__all__ = ["describe_model"]


def describe_model(model: Callable[..., Any]) -> dict[str, Any]:
    """What identifies a model: a built-in's name and options, or a name and the hash of its source."""
    function, options = model, {}
    while hasattr(function, "func"):
        options = {**function.keywords, **options}  # pyright: ignore[reportFunctionMemberAccess]
        function = function.func  # pyright: ignore[reportFunctionMemberAccess]
    for name, entry in MODELS.items():
        if entry.model is function:
            return {"builtin": name, "options": options}
    return {"name": model_name(model), "source_sha256": _source_hash(function, options)}


def _source_hash(function: Callable[..., Any], options: Mapping[str, Any]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed into a console: its bytecode must do
        code = function.__code__
        source = repr((code.co_code, code.co_consts, code.co_names))
    return hashlib.sha256(f"{source}\n{sorted(options.items())!r}".encode()).hexdigest()
