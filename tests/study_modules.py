"""Files of `benchmarks/`, for tests: it is on no path, where its `informed.py` would hide tests."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

BENCHMARKS = str(Path(__file__).parent.parent / "benchmarks")


def study(name: str) -> ModuleType:
    """One file of the package `study`."""
    return script(f"study.{name}")


def script(name: str) -> ModuleType:
    """One file of `benchmarks/`, which is on the path for as long as it takes to import it."""
    sys.path.insert(0, BENCHMARKS)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(BENCHMARKS)
