"""Estimators that ship inside the package: one directory each, named as `posterity infer` names them."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from posterity.checks import InputError, did_you_mean

__all__ = ["find_estimator", "read_record", "shipped_estimators"]

HOME = Path(str(resources.files(__name__)))
RECORD = "estimator.json"


def shipped_estimators() -> dict[str, Path]:
    """Name -> directory of every estimator that ships, in alphabetical order."""
    return {folder.name: folder for folder in sorted(HOME.iterdir()) if (folder / RECORD).is_file()}


def find_estimator(name_or_path: str) -> Path:
    """Directory of an estimator given by the name under which it ships, or by its path.

    Args:
        name_or_path: A shipped name comes first; write `./name` for a directory of the same name.

    Raises:
        InputError: There is neither; the message names the nearest, or how to train one.
    """
    shipped = shipped_estimators()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if path.exists():
        return path
    known = ", ".join(f"'{name}'" for name in shipped) or "none"
    if path.name != name_or_path or path.suffix:
        raise InputError(f"no estimator at {name_or_path}: there is no such directory. Shipped ones: {known}")
    from posterity.models import MODELS  # here, since it imports JAX

    if name_or_path in MODELS:
        raise InputError(
            f"'{name_or_path}' is a built-in model for which no estimator ships; train one: "
            f"posterity train {name_or_path} -o {name_or_path}.estimator"
        )
    hint = did_you_mean(name_or_path, [*shipped, *MODELS])
    raise InputError(f"unknown estimator '{name_or_path}': no directory and no shipped name ({known}).{hint}")


def read_record(path: Path) -> dict[str, Any]:
    """What `estimator.json` says, without loading weights."""
    return json.loads((path / RECORD).read_text())
