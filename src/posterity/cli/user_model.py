"""The user's own model: a function in a Python file."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from posterity.runtime.errors import InputError, did_you_mean

__all__ = ["file_of", "load_model", "names_a_file"]


def names_a_file(model: str) -> bool:
    """Whether a model is given as `FILE.py:FUNCTION`, perhaps incomplete, and not as a built-in's name or a folder."""
    return ".py" in model and not Path(model).is_dir()


def file_of(model: str) -> str:
    """The file of a model given as `FILE.py:FUNCTION`; what is given otherwise comes back as it is."""
    return model.rpartition(":")[0] if names_a_file(model) and ":" in model else model


def load_model(place: str) -> Callable[..., Any]:
    """The function that `FILE.py:FUNCTION` names; the file is run to get it.

    Raises:
        InputError: There is no such file or function, or the file does not run.
    """
    file, colon, name = place.rpartition(":")
    if not (colon and file.endswith(".py") and name.isidentifier()):
        raise InputError(f"--model {place}: expected FILE.py:FUNCTION, such as my_model.py:my_model")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{file}: no such file; expected the Python file of your model")
    module = _run(path)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        known = ", ".join(own) or "none"
        raise InputError(f"{file} has no function '{name}'; it has {known}.{did_you_mean(name, own)}")
    return function


def _run(path: Path) -> ModuleType:
    """The module of a file, which may import its neighbours as a script may."""
    spec = importlib.util.spec_from_file_location(f"posterity_user_model_{path.stem}", path.absolute())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles of the file look it up there
    folder = str(path.absolute().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} does not run: {_place(error, path)}{type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def _place(error: Exception, path: Path) -> str:
    """`line 7: ` of the user's file, where it is known."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path.absolute())
    ]
    return f"line {lines[-1]}: " if lines else ""
