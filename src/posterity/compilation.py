"""Compilation in a hurry, for programs that run only a few times."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax

__all__ = ["quick_filter_jit", "quick_jit"]

Found = TypeVar("Found")


def quick_jit(function: Callable[..., Found]) -> Callable[..., Found]:
    """Compiles with little effort, for what runs only a few times: a quarter of the seconds on a CPU."""
    return jax.jit(function, compiler_options=_quick_options())


def quick_filter_jit(function: Callable[..., Found]) -> Callable[..., Found]:
    """The same for functions that also take or give what is no array, as Equinox's modules may hold."""
    # Equinox hands the options on to `jax.jit`; its signatures for type checkers leave them out.
    return eqx.filter_jit(function, compiler_options=_quick_options())  # pyright: ignore[reportCallIssue]


@functools.cache
def _quick_options() -> dict[str, Any] | None:
    """Options that this version of XLA knows, or None."""
    if jax.default_backend() != "cpu":
        return None
    options = {
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
        "xla_llvm_disable_expensive_passes": True,
    }
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # an XLA that renamed one: slower, but as right
        return None
    return options
