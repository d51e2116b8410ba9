"""Many datasets in one table, one for each value of a column."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.estimator.estimator import Estimator
from posterity.estimator.infer import in_original_units
from posterity.estimator.resolve import TableReading, estimator_and_dataset, read_frame
from posterity.results.data import Answer, Unanswered
from posterity.results.summary import answer_to_json
from posterity.model.problem import Problem
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError, did_you_mean
from posterity.tables.dataset import TableDataset

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
        problem: The model.
        num_draws: Draws for each group.
        seconds: Wall time of all answers.
    """

    groups: pl.DataFrame
    latents: pl.DataFrame
    entries: tuple[Mapping[str, Any], ...]
    data: TableDataset
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
    table: pl.DataFrame | str | Path,
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
    frame, source = read_frame(table, source)
    names = _group_names(frame, group, {target, *categorical}, drop_missing, source)
    rest = frame.filter(names.is_not_null()).drop(group)
    how = TableReading(target, standardize, tuple(categorical), drop_missing, source)
    trained, data = estimator_and_dataset(estimator, rest, how, model=model, options=options)
    members = _members(names.drop_nulls().to_numpy()[data.rows])
    answer_some = partial(trained.infer_many, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
    collected = _Collected()
    for answer, num_rows in _answers(answer_some, data, members, on_progress):
        collected.add(answer, num_rows, trained.problem, data)
    return GroupAnswers(
        groups=pl.DataFrame(collected.groups, schema=_GROUPS),
        latents=pl.DataFrame(collected.latents, schema_overrides=_LATENTS) if collected.latents else _no_latents(),
        entries=tuple(collected.entries),
        data=data,
        problem=trained.problem,
        num_draws=num_draws,
        seconds=collected.seconds,
    )


def _answers(
    answer_some: Callable[..., list[Answer | Unanswered]],
    data: TableDataset,
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
            columns=data.columns,
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

    def add(self, answer: Answer | Unanswered, num_rows: int, problem: Problem, data: TableDataset) -> None:
        if isinstance(answer, Unanswered):
            entry = {"group": answer.group, "num_rows": num_rows, "verdict": answer.verdict, "pareto_k": None,
                     "ess": None, "reasons": list(answer.reasons), "latents": {}}  # fmt: skip
        else:
            entry = answer_to_json(answer, in_original_units(problem, data, answer))
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


def _group_names(
    frame: pl.DataFrame, group: str, others: set[str | None], drop_missing: bool, source: str
) -> pl.Series:
    """The group of every row as text; null where it is missing.

    Raises:
        InputError: There is no such column, it serves as something else, or it has missing cells.
    """
    if group not in frame.columns:
        raise InputError(
            f"{source}: --group '{group}': no such column. Columns: {', '.join(frame.columns)}."
            f"{did_you_mean(group, frame.columns)}"
        )
    if group in others:
        raise InputError(f"{source}: --group '{group}' is the target or a categorical column, too; it can be one only.")
    names = frame[group].cast(pl.String)
    missing = names.null_count()
    if missing and not drop_missing:
        raise InputError(
            f"{source}: column '{group}' is missing in {missing} of {frame.height} rows, so they belong to no group. "
            "Give --drop-missing to leave these rows out, or fill the cells in."
        )
    return names


def _members(names: np.ndarray) -> dict[str, np.ndarray]:
    """Group -> its rows, in the order in which the groups come up first."""
    labels, first, inverse = np.unique(names.astype(str), return_index=True, return_inverse=True)
    return {str(labels[i]): np.flatnonzero(inverse == i) for i in np.argsort(first)}
