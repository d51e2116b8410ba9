"""Answers to all groups of a table, written as they come; asked again after an interruption, the rest is answered."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from posterity.estimator.infer import TableQuestion
from posterity.inference.plain import plain_answers, takes_plain_answers
from posterity.inference.plain_answers import PlainAnswers
from posterity.inference.ragged import Ragged
from posterity.informed_posterior.informed import InformedNetwork
from posterity.results.frames import FrameRows
from posterity.results.group_file import GroupFile
from posterity.results.to_json import posterior_to_json
from posterity.runtime.errors import InputError

__all__ = ["write_groups"]

PART = 1024  # groups in a part


def write_groups(
    question: TableQuestion,
    output: Path,
    settings: Mapping[str, Any],
    *,
    on_answer: Callable[[Mapping[str, Any]], None] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> pl.DataFrame:
    """Answers every group, and writes all latents to one file.

    Where the same was asked before and did not come to its end, what was answered then is kept. An answer is made
    again to see that it comes out the same: a model or a library that changed is noticed, as far as it shows there.

    Args:
        question: The table, and what answers it.
        output: A Parquet or CSV file.
        settings: Draws, seed and time, as `TableQuestion.posteriors` takes them.
        on_answer: Called with the JSON entry of each group that is answered now, if they are wanted.
        on_progress: Called with the number of finished groups.

    Returns:
        One line for each group, see `FrameRows.verdicts`.

    Raises:
        InputError: The file cannot be written, or what was written before answers something else.
    """
    names, settings = list(question.datasets), dict(settings)
    with GroupFile(output, _asked(question, settings)) as file:
        parts = file.parts
        if parts:
            _check_again(question, settings, pl.read_parquet(parts[0]), output)
            on_progress(min(len(parts) * PART, len(names)))
        for first in range(len(parts) * PART, len(names), PART):
            chosen = {name: question.datasets[name] for name in islice(names, first, first + PART)}
            found, entries = _answered(
                question._replace(datasets=chosen),
                settings,
                with_entries=on_answer is not None,
                on_progress=lambda done, first=first: on_progress(first + done),
            )
            if on_answer is not None:
                for entry in entries:
                    on_answer(entry)
            file.add(found)
            settings.pop("started", None)  # the first answers wait for what was read before; each later one has its own
        verdicts = file.verdicts()
        file.finish()
    return verdicts


def _answered(
    question: TableQuestion,
    settings: Mapping[str, Any],
    *,
    with_entries: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[pl.DataFrame, list[Mapping[str, Any]]]:
    """Answers to some groups as a frame, and the JSON entries of each; plain ones are made together, as columns."""
    names = [str(name) for name in question.datasets]
    frames, entries, left = [], {}, dict(enumerate(names))
    for answers in _plain(question, names, settings):
        frames.append(answers.to_frame(names))
        entries |= {i: answers.entry(k, names[i]) for k, i in enumerate(answers.which.tolist())} if with_entries else {}
        for i in answers.which.tolist():
            del left[i]
        on_progress(len(names) - len(left))
    rows, place_of = FrameRows(), {name: i for i, name in left.items()}
    rest = question._replace(datasets={name: question.datasets[name] for name in left.values()})
    done = len(names) - len(left)
    for posterior in rest.posteriors(**settings, on_progress=lambda more: on_progress(done + more)):
        entry = posterior_to_json(posterior)  # numbers only: draws of one group go before the next ones come
        rows.add(entry)
        entries[place_of[str(posterior.name)]] = entry
    if left:
        frame = rows.to_frame()
        places = pl.Series("place", [place_of[name] for name in frame["name"]], dtype=pl.Int64)
        frames.append(frame.with_columns(places))
    whole = pl.concat(frames, how="diagonal").sort("place", maintain_order=True).drop("place")
    return whole, [entries[i] for i in sorted(entries)]


def _plain(question: TableQuestion, names: list[str], settings: Mapping[str, Any]) -> Iterator[PlainAnswers]:
    """Answers to groups that are nothing out of the ordinary; none where the model is."""
    estimator, datasets = question.estimator, list(question.datasets.values())
    request = estimator.table_request(question.recipe, dropped_rows=question.table.dropped_rows, **settings)
    model, network = estimator.model, estimator.network
    if not isinstance(network, InformedNetwork) or not takes_plain_answers(model, network, request):
        return
    values = {name: np.concatenate([dataset[name] for dataset in datasets]) for name in datasets[0]}
    ends = np.cumsum([len(next(iter(dataset.values()))) for dataset in datasets])
    try:
        yield from plain_answers(model, network, Ragged(names, values, ends), request)
    except InputError:  # of some group: each is told its own when it is read by itself
        return


def _asked(question: TableQuestion, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the answers depend on, so far as it can be told in a few words."""
    return {
        "version of posterity": importlib.metadata.version("posterity"),
        "model": question.estimator.model.name,
        "table": _digest(question.datasets),
        **{f"setting '{name}'": value for name, value in settings.items() if name != "started"},
    }


def _digest(datasets: Mapping[str | None, Mapping[str, np.ndarray]]) -> str:
    """Of the groups' names, in order, and of all values as the model takes them."""
    digest = hashlib.sha256()
    for group, arrays in datasets.items():
        digest.update(repr((group, [(name, a.shape, str(a.dtype)) for name, a in arrays.items()])).encode())
        for array in arrays.values():
            digest.update(repr(array.tolist()).encode() if array.dtype == object else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _check_again(question: TableQuestion, settings: Mapping[str, Any], part: pl.DataFrame, output: Path) -> None:
    """Refuses to go on where the first answer that no clock decided comes out differently."""
    certain = part.filter(pl.col("verdict") == "corrected")
    if certain.is_empty():
        return
    name = certain["name"][0]
    again, _ = _answered(question._replace(datasets={name: question.datasets[name]}), settings)
    if not again.equals(certain.filter(pl.col("name") == name).select(again.columns)):
        raise InputError(
            f"'{output}' was begun by another model or library: group '{name}' is answered differently now. Choose "
            f"another --output, or delete '{output}.unfinished' to begin anew."
        )
