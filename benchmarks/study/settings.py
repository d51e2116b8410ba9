"""What a study is made of: models, what one network is trained for, and what it is tested on."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import posterity

__all__ = ["ROWS", "Score", "Setting", "Task"]

ROWS = (64, 128)
"""Observations of a dataset, as in the paper's App. F; its code draws 64 to 127."""

Score = Literal["loss", "accuracy"]


@dataclasses.dataclass(frozen=True)
class Task:
    """A column of the paper's tables: datasets of one size.

    Attributes:
        name: Name in rows, such as `lr_100d`.
        column: Name in the paper's tables, such as "LR 100D".
        dims: Features, or dimensions of the data.
        small: Whether the laptop preset has all encoders, families, objectives and seeds for it.
    """

    name: str
    column: str
    dims: int
    small: bool = False


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model and a range of sizes that one network serves, with the tasks that it is tested on.

    Attributes:
        name: Name in rows, such as `lr_variable`.
        model: Name of the built-in model.
        dims: Fewest and most features or dimensions while training.
        tasks: What it is tested on.
        paper_steps: Training steps in the paper (its App. F).
        score: What the paper reports: expected predictive L2 or accuracy.
        options: Options of the model.
        covariates: How covariates are drawn; None for the model's data being all there is.
        informed: The same posterior through a model that the informed family answers, see `informed`; None for none.
        exact: Whether the posterior is Gaussian in closed form.
    """

    name: str
    model: str
    dims: tuple[int, int]
    tasks: tuple[Task, ...]
    paper_steps: int
    score: Score = "loss"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    covariates: str | None = "normal"
    informed: Literal["direct", "difference", "modes"] | None = None
    exact: bool = False

    @property
    def setup(self) -> str:
        """Whether one network serves one size or many: "fixed" or "variable"."""
        return "fixed" if self.dims[0] == self.dims[1] else "variable"

    def simulator(self, rows: tuple[int, int] = ROWS) -> posterity.Simulator:
        """What a network is trained with."""
        entry = posterity.MODELS[self.model]
        return posterity.builtin_simulator(
            entry, rows, self.dims, covariates=self.covariates, check=False, **self.options
        )

    def with_paper_temperature(self) -> "Setting":
        """The same without the temperature in the likelihood, as in the paper's code, whose data have it."""
        return dataclasses.replace(self, options={**self.options, "temperature": 1.0}, informed=None)
