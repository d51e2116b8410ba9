"""The one place where programs are compiled: right on every XLA that is known to compute wrongly, and kept on disk.

Two faults of XLA's CPU compiler are kept out by options (jaxlib 0.10.2). Its "ynn" fusion miscompiles some nested
reductions: under `jit(vmap(...))`, NumPyro's `Beta.log_prob` is wrong by up to 2,000 nats from the 513th draw on. Its
concurrent scheduler lets batched Cholesky factorisations that do not depend on each other wait for each other for ever
in a thread pool of two. So do two programs that run at once, each with batched linear algebra: on a CPU, programs run
one at a time. Options belong to a whole program: a function compiled here that is called while another one is
traced becomes a part of that one.
"""

import functools
import importlib.metadata
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
from jax import lax
from jax.core import Tracer

from posterity.runtime.cache import keep_compiled_programs

__all__ = ["compiler_options", "filter_jit", "is_traced", "jit", "while_loop"]

Found = TypeVar("Found")
State = TypeVar("State")

RIGHT: Mapping[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": "",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}
LITTLE: Mapping[str, Any] = {
    "xla_cpu_parallel_codegen_split_count": 1,  # half the CPU seconds of a small program, and of the wall's too
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_llvm_disable_expensive_passes": True,
}
MODERATE: Mapping[str, Any] = {
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_backend_optimization_level": 2,
    "xla_cpu_use_fusion_emitters": False,
}

Effort = Literal["little", "moderate", "full"]

_ONE_AT_A_TIME = threading.RLock()


def jit(
    function: Callable[..., Found], *, effort: Effort = "full", static_argnums: int | Sequence[int] = ()
) -> Callable[..., Found]:
    """`jax.jit` with our options.

    Args:
        function: To be compiled at its first call, once for each set of shapes.
        effort: Of the compiler on a CPU. `little` takes a quarter of the seconds, for what runs only a few times: the
            program is two to ten times slower. `moderate` takes half, and is as good as `full` but where a long
            elementwise formula is applied to many numbers.
        static_argnums: As in `jax.jit`.
    """
    return _Program(
        function, lambda: jax.jit(function, static_argnums=static_argnums, compiler_options=compiler_options(effort))
    )


def while_loop(going_on: Callable[[State], Any], step: Callable[[State], State], state: State) -> State:
    """`lax.while_loop` where it is traced; else a loop of Python's own over programs that are compiled apart.

    A loop that is compiled as a whole costs seconds for each model; one that calls two small programs, of which only
    one is the model's, some 50 microseconds a step.
    """
    if is_traced(state):
        return lax.while_loop(going_on, step, state)
    while bool(going_on(state)):
        state = step(state)
    return state


def filter_jit(function: Callable[..., Found], *, effort: Effort = "full") -> Callable[..., Found]:
    """The same for functions that also take or give what is no array, as Equinox's modules may hold."""
    # Equinox hands the options on to `jax.jit`; its signatures for type checkers leave them out.
    return _Program(
        function,
        lambda: eqx.filter_jit(function, compiler_options=compiler_options(effort)),  # pyright: ignore[reportCallIssue]
    )


class _Program:
    """A function that is compiled at its first call; options are looked up then: importing must not start a backend."""

    def __init__(self, function: Callable[..., Any], make: Callable[[], Any]):
        functools.update_wrapper(self, function)
        self._function, self._made = function, functools.cache(make)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if is_traced((arguments, named)):
            return self._function(*arguments, **named)
        keep_compiled_programs()
        program = self._made()
        if jax.default_backend() != "cpu":
            return program(*arguments, **named)
        with _ONE_AT_A_TIME:
            return jax.block_until_ready(program(*arguments, **named))

    def __getattr__(self, name: str) -> Any:
        """What JAX offers of a compiled function, such as `lower`."""
        return getattr(self._made(), name)


@functools.cache
def compiler_options(effort: Effort = "full") -> dict[str, Any]:
    """The options that the installed XLA knows and that the user's own XLA_FLAGS do not decide; none but on CPUs.

    Args:
        effort: With those that spare effort, see `jit`.
    """
    if jax.default_backend() != "cpu":
        return {}
    chosen = {name: value for name, value in RIGHT.items() if name not in os.environ.get("XLA_FLAGS", "")}
    spared = {"little": LITTLE, "moderate": MODERATE, "full": {}}[effort]
    if _is_known(**chosen, **LITTLE):  # nearly always, and one look costs as much as a small program
        return {**chosen, **spared}
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
    return {**options, **spared} if spared and _is_known(**options, **spared) else options


def is_traced(values: Any) -> bool:
    """Whether some of a tree's arrays are stand-ins for numbers that are not there yet."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


@functools.cache
def _is_known(**options: Any) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # no class of its own: the message is XLA's
        return False
    return True
