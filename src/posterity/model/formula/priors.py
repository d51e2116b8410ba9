"""Priors as text, `HalfNormal(1)` or `Normal(0, scale=2.5)`: read as a name and numbers, never evaluated."""

import ast
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpyro.distributions as dist

from posterity.runtime.errors import InputError, lookup

__all__ = ["Prior", "joined", "parse_prior"]

_REAL = ("Normal", "StudentT", "Laplace", "Logistic", "Cauchy")
_POSITIVE = ("HalfNormal", "HalfCauchy", "Exponential", "Gamma", "InverseGamma", "LogNormal", "Weibull")

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "real": _REAL,
    "positive": _POSITIVE,
    "correlation": ("LKJCholesky",),
    "cutpoint": ("Normal",),
    "gap": ("LogNormal",),
}
"""What a latent may be -> the distributions of NumPyro that its prior may have."""

_EXAMPLES = {"real": "(0, 2.5)", "positive": "(1)", "correlation": "(2)", "cutpoint": "(0, 2.5)", "gap": "(0, 1)"}


@dataclass(frozen=True)
class Prior:
    """A distribution of NumPyro by name, with its numbers by name.

    Attributes:
        name: Name of the class in `numpyro.distributions`.
        numbers: Argument -> number, or one for each entry of the latent; in the order of the class.
    """

    name: str
    numbers: tuple[tuple[str, float | tuple[float, ...]], ...]

    def __getitem__(self, argument: str) -> float | tuple[float, ...]:
        """One of its numbers."""
        return dict(self.numbers)[argument]

    @property
    def is_vector(self) -> bool:
        """Entries of the latent have numbers of their own."""
        return any(isinstance(number, tuple) for _, number in self.numbers)

    @property
    def source(self) -> str:
        """The expression that makes it."""
        return self.along("")

    def along(self, index: str) -> str:
        """The same, with numbers of entries laid along an axis: `[:, None]` for rows of a matrix.

        Args:
            index: What is put behind each array.
        """
        shown = [f"jnp.array({[*n]}){index}" if isinstance(n, tuple) else repr(n) for _, n in self.numbers]
        return f"dist.{self.name}({', '.join(shown)})"


def joined(latent: str, priors: Sequence[Prior]) -> Prior:
    """The prior of a latent whose entries have priors of their own: one distribution, with a number for each entry.

    Args:
        latent: Whose they are, for messages.
        priors: One for each entry.

    Raises:
        InputError: They are different distributions.
    """
    first = priors[0]
    if all(prior == first for prior in priors):
        return first
    names = sorted({prior.name for prior in priors})
    if len(names) > 1:
        raise InputError(
            f"priors: entries of '{latent}' share one distribution, and differ in its numbers only; got "
            f"{', '.join(names)}. Give '{latent}' the distribution of its entries"
        )
    each = np.array([[number for _, number in prior.numbers] for prior in priors])  # (entry, argument)
    columns = {argument: tuple(each[:, place].tolist()) for place, (argument, _) in enumerate(first.numbers)}
    return Prior(first.name, tuple((a, n if len(set(n)) > 1 else n[0]) for a, n in columns.items()))


def parse_prior(latent: str, text: str, support: str) -> Prior:
    """A prior that a person wrote.

    Args:
        latent: Whose prior it is, for messages.
        text: Such as `Normal(0, 2.5)`; arguments in the order of NumPyro's class, or by name.
        support: A key of `DISTRIBUTIONS`.

    Raises:
        InputError: It is no distribution with numbers, or none that such a latent can have.
    """
    where = f"prior of '{latent}', '{text}'"
    known = DISTRIBUTIONS[support]
    try:
        call = ast.parse(str(text).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        call = None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise InputError(f"{where}: expected a distribution with numbers, such as '{known[0]}{_EXAMPLES[support]}'")
    name = {"LKJ": "LKJCholesky"}.get(call.func.id, call.func.id)
    lookup(f"distribution for the prior of '{latent}'", name, dict.fromkeys(known))
    return _with_numbers(name, _given(call, _parameters(name), where), where)


def _parameters(name: str) -> dict[str, float | None]:
    """Arguments of a distribution that are numbers -> default; None where there is none."""
    signature = inspect.signature(getattr(dist, name)).parameters.values()
    numbers = [p for p in signature if p.name not in ("validate_args", "dimension", "sample_method")]
    return {p.name: None if p.default is p.empty else p.default for p in numbers}


def _given(call: ast.Call, parameters: Mapping[str, float | None], where: str) -> dict[str, float]:
    """Argument -> number, as they were written."""
    takes = ", ".join(parameters)
    if len(call.args) > len(parameters):
        raise InputError(f"{where}: it takes {takes}; got {len(call.args)} numbers")
    given = {name: _number(node, where) for name, node in zip(parameters, call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg not in parameters or keyword.arg in given:
            raise InputError(f"{where}: it takes {takes}, each once; got '{ast.unparse(keyword)}'")
        given[keyword.arg] = _number(keyword.value, where)
    return given


def _number(node: ast.expr, where: str) -> float:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: expected finite numbers in the brackets; got '{ast.unparse(node)}'")
    return float(value)


def _with_numbers(name: str, given: Mapping[str, float], where: str) -> Prior:
    """With the defaults of the class filled in, and numbers that it accepts."""
    numbers: list[tuple[str, float | tuple[float, ...]]] = []
    for argument, default in _parameters(name).items():
        number = given.get(argument, default)
        if number is None:
            raise InputError(f"{where}: its '{argument}' is missing. It takes {', '.join(_parameters(name))}")
        if not bool(getattr(dist, name).arg_constraints[argument](number)):
            raise InputError(f"{where}: its '{argument}' cannot be {number:g}")
        numbers.append((argument, float(number)))
    return Prior(name, tuple(numbers))
