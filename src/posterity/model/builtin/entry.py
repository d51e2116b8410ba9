"""What the library knows about a built-in model beyond its NumPyro function."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from posterity.model.model import Model
from posterity.model.read import read_model
from posterity.runtime.errors import InputError, did_you_mean

__all__ = ["BuiltinModel"]


@dataclasses.dataclass(frozen=True)
class BuiltinModel:
    """A model that ships, with the choices that make it usable by name.

    Attributes:
        model: The NumPyro function; its keyword options have defaults.
        summary: One line for `posterity models`.
        rows: Default envelope of rows.
        plate: Plate along the columns of its matrix argument.
        columns: Default envelope of that plate.
        matrix: Name of the argument that holds a matrix.
        target: Name and dtype of the observed vector; None where the matrix itself is the data.
        standardized: Defined on z-scored columns (a real-valued target too).
        informed: Answered without training, by the informed posterior.
        linear: Latents `w`, `b` (and `sigma`) of a linear predictor, which convert to the user's units.
    """

    model: Callable[..., Any]
    summary: str
    rows: tuple[int, int] = (16, 128)
    plate: str = "features"
    columns: tuple[int, int] = (1, 10)
    matrix: str = "x"
    target: tuple[str, str] | None = ("y", "float32")
    standardized: bool = True
    informed: bool = True
    linear: bool = False

    @property
    def name(self) -> str:
        """Name under which it ships."""
        return self.model.__name__

    @property
    def options(self) -> dict[str, Any]:
        """Keyword options of the model -> default."""
        parameters = inspect.signature(self.model).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def with_options(self, options: Mapping[str, Any]) -> Callable[..., Any]:
        """The model with some of its options set.

        Args:
            options: Option -> value. Numbers are scales and sizes, so they must be above 0.

        Raises:
            InputError: An option is unknown, its value has another type than the default, or is not above 0.
        """
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(f"{k}={v!r}" for k, v in self.options.items()) or "none"
                raise InputError(
                    f"model '{self.name}' has no option '{name}'; it has {known}.{did_you_mean(name, self.options)}"
                )
            default = self.options[name]
            fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
            if not fits or isinstance(value, bool) != isinstance(default, bool):
                raise InputError(
                    f"model '{self.name}': option '{name}' must be {type(default).__name__}; got {value!r}"
                )
            if not isinstance(value, str) and not 0 < value < math.inf:
                raise InputError(f"model '{self.name}': option '{name}' must be above 0 and finite; got {value!r}")
        return functools.partial(self.model, **options) if options else self.model

    def example(self, num_columns: int) -> dict[str, Array]:
        """A made-up dataset of the right shapes."""
        num_rows = num_columns + 3  # rows and columns must differ in number, or they could be confused
        matrix = {self.matrix: jnp.zeros((num_rows, num_columns))}
        if self.target is None:
            return matrix
        name, dtype = self.target
        return matrix | {name: jnp.zeros((num_rows,), dtype)}

    def read(self, num_columns: int, **options: Any) -> Model:
        """The model for datasets of at most so many columns.

        Args:
            num_columns: Most columns (features or dimensions).
            **options: Options of the model.
        """
        return read_model(self.with_options(options), self.example(num_columns), {self.plate: num_columns})
