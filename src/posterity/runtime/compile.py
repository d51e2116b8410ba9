"""The one place where programs are compiled: right on every XLA that is known to compute wrongly, and in a hurry.

Two faults of XLA's CPU compiler are kept out by options (jaxlib 0.10.2). Its "ynn" fusion miscompiles some nested
reductions: under `jit(vmap(...))`, NumPyro's `Beta.log_prob` is wrong by up to 2,000 nats from the 513th draw on. Its
concurrent scheduler lets batched Cholesky factorisations that do not depend on each other wait for each other for ever
in a thread pool of two. Options belong to a whole program: functions compiled here must not call each other.
"""

import functools
import importlib.metadata
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax

__all__ = ["compiler_options", "filter_jit", "jit"]

Found = TypeVar("Found")

RIGHT: Mapping[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": "",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}
QUICK: Mapping[str, Any] = {
    "xla_cpu_parallel_codegen_split_count": 1,  # half the CPU seconds of a small program, and of the wall's too
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
}


def jit(
    function: Callable[..., Found], *, quick: bool = False, static_argnums: int | Sequence[int] = ()
) -> Callable[..., Found]:
    """`jax.jit` with our options.

    Args:
        function: To be compiled at its first call, once for each set of shapes.
        quick: Compile with little effort, for what runs only a few times: a quarter of the seconds on a CPU.
        static_argnums: As in `jax.jit`.
    """
    return _Program(
        function, lambda: jax.jit(function, static_argnums=static_argnums, compiler_options=compiler_options(quick))
    )


def filter_jit(function: Callable[..., Found], *, quick: bool = False) -> Callable[..., Found]:
    """The same for functions that also take or give what is no array, as Equinox's modules may hold."""
    # Equinox hands the options on to `jax.jit`; its signatures for type checkers leave them out.
    return _Program(
        function,
        lambda: eqx.filter_jit(function, compiler_options=compiler_options(quick)),  # pyright: ignore[reportCallIssue]
    )


class _Program:
    """A function that is compiled at its first call; options are looked up then: importing must not start a backend."""

    def __init__(self, function: Callable[..., Any], make: Callable[[], Any]):
        functools.update_wrapper(self, function)
        self._made = functools.cache(make)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._made()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        """What JAX offers of a compiled function, such as `lower`."""
        return getattr(self._made(), name)


@functools.cache
def compiler_options(quick: bool = False) -> dict[str, Any]:
    """The options that the installed XLA knows and that the user's own XLA_FLAGS do not decide; none but on CPUs.

    Args:
        quick: With those that spare effort.
    """
    if jax.default_backend() != "cpu":
        return {}
    chosen = {name: value for name, value in RIGHT.items() if name not in os.environ.get("XLA_FLAGS", "")}
    if _is_known(**chosen, **QUICK):  # nearly always, and one look costs as much as a small program
        return {**chosen, **QUICK} if quick else chosen
    unknown = [name for name, value in chosen.items() if not _is_known(**{name: value})]
    if unknown:
        warnings.warn(
            f"this XLA (jaxlib {importlib.metadata.version('jaxlib')}) does not know {', '.join(unknown)}, by which "
            "posterity keeps out wrong results and a deadlock of other ones. Should a call hang, set NPROC=8",
            RuntimeWarning,
            stacklevel=2,
        )
    options = {name: value for name, value in chosen.items() if name not in unknown}
    # An XLA that renamed one of these is slower, but as right.
    return {**options, **QUICK} if quick and _is_known(**options, **QUICK) else options


@functools.cache
def _is_known(**options: Any) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # no class of its own: the message is XLA's
        return False
    return True
