"""Many datasets in one table, one for each value of a column."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.estimator import Estimator
from posterity.problem import Problem
from posterity.results import Answer, Unanswered, answer_to_json
from posterity.table_answer import in_original_units
from posterity.table_estimator import estimator_and_dataset
from posterity.tables import Recipe, TableData, as_frame, members, split_groups

__all__ = ["GroupAnswers", "infer_groups"]

TOGETHER = 256  # groups whose draws are held at once

_LATENTS = {
    "group": pl.String,
    "latent": pl.String,
    **dict.fromkeys(("mean", "sd", "q05", "q50", "q95"), pl.Float64),
}
_GROUPS = {
    "group": pl.String,
    "num_rows": pl.Int64,
    "verdict": pl.String,
    "pareto_k": pl.Float64,
    "ess": pl.Float64,
    "log_evidence": pl.Float64,
    "reasons": pl.List(pl.String),
}


@dataclasses.dataclass(frozen=True, eq=False)
class GroupAnswers:
    """What is left of the answers to all groups: numbers, no draws.

    Attributes:
        groups: One line for each group: rows, verdict, k-hat, effective sample size, log evidence where the answer is
            corrected (nats), reasons.
        latents: One line for each group and scalar latent: mean, sd and quantiles; beside them those in the table's own
            units (`original_mean`, ...) where columns were z-scored and the way back is known.
        entries: One for each group, as in `posterity infer --json`.
        data: The whole table as the model saw it.
        recipe: How the table became that.
        problem: The model.
        num_draws: Draws for each group.
        seconds: Wall time of all answers.
    """

    groups: pl.DataFrame
    latents: pl.DataFrame
    entries: tuple[Mapping[str, Any], ...]
    data: TableData
    recipe: Recipe
    problem: Problem
    num_draws: int
    seconds: float

    def to_frame(self) -> pl.DataFrame:
        """Both tables as one: every latent with the verdict of its group; one line for a group without an answer."""
        return self.groups.join(self.latents, on="group", how="left", maintain_order="left")

    @property
    def counts(self) -> dict[str, int]:
        """Groups with each verdict."""
        verdicts = self.groups["verdict"].to_list()
        return {verdict: verdicts.count(verdict) for verdict in ("corrected", "refined", "untrusted")}


def infer_groups(
    estimator: Estimator | str | Path | Callable[..., Any],
    table: Any,
    *,
    group: str,
    target: str | None = None,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    standardize: bool | None = None,
    categorical: Collection[str] = (),
    drop_missing: bool = False,
    model: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
    refine_seconds: float = REFINE_SECONDS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> GroupAnswers:
    """Checked posteriors of all groups of a table's rows, each by itself.

    Z-scores, categories and classes are those of the whole table: the latents of all groups are in one unit, and a
    column that is constant in one group is no obstacle.

    `group` is the column whose values tell the groups apart; the model does not see it. `on_progress` is called with
    the number of finished groups and that of all. All else is as in `posterity.infer`, with draws and time to refine
    counted for each group.

    Raises:
        InputError: The table does not suit the model, there is no such column, or the estimator cannot be loaded.
    """
    frame, source = as_frame(table, source, text_columns=(group, *categorical))
    groups = split_groups(frame, group, others={target, *categorical}, drop_missing=drop_missing, source=source)
    trained, recipe, data = estimator_and_dataset(
        estimator,
        frame.drop(group),
        model=model,
        options=options,
        standardize=standardize,
        target=target,
        categorical=categorical,
        drop_missing=drop_missing,
        groups=groups,
        source=source,
    )
    answer_some = partial(trained.infer_many, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
    collected = _Collected()
    for answer, num_rows in _answers(answer_some, data, recipe, members(groups, data.rows), on_progress):
        collected.add(answer, num_rows, trained.problem, recipe)
    return GroupAnswers(
        groups=pl.DataFrame(collected.groups, schema=_GROUPS),
        latents=pl.DataFrame(collected.latents, schema_overrides=_LATENTS) if collected.latents else _no_latents(),
        entries=tuple(collected.entries),
        data=data,
        recipe=recipe,
        problem=trained.problem,
        num_draws=num_draws,
        seconds=collected.seconds,
    )


def _answers(
    answer_some: Callable[..., list[Answer | Unanswered]],
    data: TableData,
    recipe: Recipe,
    members: Mapping[str, np.ndarray],
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[Answer | Unanswered, int]]:
    """Each group's answer and number of rows; the draws of `TOGETHER` groups are held at once."""
    names = list(members)
    for first in range(0, len(names), TOGETHER):
        chosen = names[first : first + TOGETHER]
        answers = answer_some(
            [{name: values[members[group]] for name, values in data.values.items()} for group in chosen],
            groups=chosen,
            columns=recipe.columns_of,
            on_progress=lambda done, first=first: on_progress(first + done, len(names)),
        )
        for group, answer in zip(chosen, answers, strict=True):
            yield answer, len(members[group])


class _Collected:
    """Numbers of the answers so far."""

    def __init__(self) -> None:
        self.groups: list[dict[str, Any]] = []
        self.latents: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.seconds = 0.0

    def add(self, answer: Answer | Unanswered, num_rows: int, problem: Problem, recipe: Recipe) -> None:
        if isinstance(answer, Unanswered):
            entry = {"group": answer.group, "num_rows": num_rows, "verdict": answer.verdict, "pareto_k": None,
                     "ess": None, "reasons": list(answer.reasons), "latents": {}}  # fmt: skip
        else:
            entry = answer_to_json(answer, in_original_units(problem, recipe, answer))
            self.seconds += answer.seconds
        self.entries.append(entry)
        evidence = entry.get("log_evidence") or {"value": None}
        self.groups.append({name: entry.get(name) for name in _GROUPS} | {"log_evidence": evidence["value"]})
        own_units = entry.get("original_units", {})
        for label, statistics in entry["latents"].items():
            own = {f"original_{name}": value for name, value in own_units.get(label, {}).items()}
            self.latents.append({"group": answer.group, "latent": label, **statistics, **own})


def _no_latents() -> pl.DataFrame:
    return pl.DataFrame(schema=_LATENTS)
