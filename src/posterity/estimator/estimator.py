"""The face of the package: an estimator, made by `informed`, `train` or `load`, answers datasets."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from posterity.amortized.architecture import Architecture
from posterity.estimator.artifact import Artifact, read_artifact, write_artifact
from posterity.estimator.sizes import datasets_of_sizes
from posterity.inference.draw import Network
from posterity.inference.posterior import Posterior
from posterity.inference.run import Request, posteriors_of
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.builtin import builtin_entry
from posterity.model.model import Model
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.runtime.status import working
from posterity.simulation.simulator import Simulator
from posterity.tables.abstract_recipe import AbstractRecipe
from posterity.training.data_envelope import DataEnvelope
from posterity.trust.standing import Standing

__all__ = ["Estimator", "load"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimator:
    """What answers datasets of one model; it never changes.

    Attributes:
        model: The model.
        network: Dataset -> q: trained in context, or informed by the likelihood.
        simulator: What a network was trained with; None for the informed posterior, which was not trained.
        architecture: What a trained network is made of; None for the informed posterior.
        record: How it was made and how well it did, as plain values.
        example: A dataset of the model, as `infer` takes it: what is compiled ahead with. None: one is simulated.
    """

    model: Model
    network: Network
    simulator: Simulator | None = None
    architecture: Architecture | None = None
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    example: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        if self.architecture is None or self.simulator is None:
            told = f"Estimator of {self.model.name}: informed, nothing trained; {self.model.space.size} latents"
            for group in self.model.groups:
                told += f", at {self.model.capacity[group.plate]} {group.plate}, of which there may be any number"
            return f"{told}; a dataset counts as one observation: {self.model.whole}" if self.model.whole else told
        parts = f"{self.architecture.encoder} encoder, {self.architecture.family} family"
        parts = f"{parts}; {self.model.space.size} latents"
        return f"Estimator of {self.model.name}: trained for {self.simulator.envelope}; {parts}"

    def infer(
        self,
        dataset: Any,
        *,
        name: str | None = None,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        columns: Mapping[str, Sequence[str]] | None = None,
        refine_seconds: float = REFINE_SECONDS,
        started: float | None = None,
    ) -> Posterior:
        """Checked posterior of one dataset: the one that `infer_each` gives of it.

        Where the importance weights are unhealthy, sampling goes on from q; see `posterity.trust.ladder`.

        Args:
            dataset: Argument name -> array with rows first; numbers of groups as plain numbers. Or a table with a
                column for each argument, as `posterity.infer` takes them.
            name: Of the dataset; it decides the draws, together with the seed.
            num_draws: Draws of q.
            seed: The same seed gives the same draws.
            columns: Argument name -> names of its columns, for labels such as `w[bmi]`.
            refine_seconds: Time for the whole answer, compilation included: once it is over, sampling ends, and the
                best answer so far is returned. Draws of q are always made; 0 for these alone.
            started: When the question was asked, by `time.perf_counter`; now if None.

        Raises:
            InputError: The dataset does not fit the model.
        """
        (posterior,) = self.infer_each(
            [dataset],
            names=[name],
            num_draws=num_draws,
            seed=seed,
            columns=columns,
            refine_seconds=refine_seconds,
            started=started,
        )
        if posterior.verdict == "unanswered":
            raise InputError(posterior.reasons[0])
        return posterior

    def infer_each(
        self,
        datasets: Sequence[Any],
        *,
        names: Sequence[str | None] | None = None,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        columns: Mapping[str, Sequence[str]] | None = None,
        refine_seconds: float = REFINE_SECONDS,
        started: float | None = None,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Posterior]:
        """Checked posteriors of many datasets, in their order; they are independent of each other.

        A dataset draws by its name, or by its place where it has none: its posterior is the same bits alone or among
        others. One that does not fit the model is `unanswered`, with the reason, and does not stop the rest.

        Args:
            datasets: Each is argument name -> array with rows first.
            names: Name of each dataset, no two alike; None for one without.
            num_draws: Draws of q for each.
            seed: The same seed gives the same draws.
            columns: Argument name -> names of its columns, for labels such as `w[bmi]`.
            refine_seconds: Time for each answer, see `infer`; programs may take that of all answers together.
            started: When the question was asked, by `time.perf_counter`; now if None.
            on_progress: Called with the number of finished datasets after each.

        Raises:
            InputError: The settings cannot serve.
        """
        if names is not None:
            _check_names(names, len(datasets))
        request = self._request(num_draws, seed, refine_seconds, columns or {}, started)
        return posteriors_of(self.model, self.network, datasets, request, names=names, on_progress=on_progress)

    def warm(self, *, rows: int | Sequence[int] | None = None, num_draws: int = NUM_DRAWS) -> "Estimator":
        """Compiles ahead what draws for datasets of these sizes need, so that no first answer waits for it.

        Programs serve all datasets whose rows are padded to the same power of two, whatever their columns. They are
        kept on disk: a later process loads them. Those of chains, which few answers need, are not among them.

        Args:
            rows: Numbers of rows to come; those of the example if None.
            num_draws: Draws for each.

        Returns:
            The estimator itself.

        Raises:
            InputError: A number of rows is below 1, or rows are given for a model without.
        """
        datasets = datasets_of_sizes(self.model, self._example(), rows, self.network.padded_rows)
        with working("compiling ahead"):
            self.infer_each(datasets, num_draws=num_draws, refine_seconds=0.0)
        return self

    def _example(self) -> Mapping[str, Any]:
        if self.example is not None or self.simulator is None:
            return self.example or {}
        return self.simulator.example()

    def infer_table(
        self,
        recipe: AbstractRecipe,
        datasets: Mapping[str | None, Mapping[str, Any]],
        *,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        refine_seconds: float = REFINE_SECONDS,
        started: float | None = None,
        dropped_rows: int = 0,
        at_once: int = 256,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[Posterior]:
        """Checked posteriors of datasets that a recipe made of a table, some at a time, so that few are held.

        Args:
            recipe: How they were made.
            datasets: Name -> dataset; the name is None where the table is one dataset.
            num_draws: Draws of q for each.
            seed: The same seed gives the same draws.
            refine_seconds: Time for each answer, see `infer`.
            started: When the question was asked, by `time.perf_counter`; now if None.
            dropped_rows: Rows of the table that were left out because a cell was missing.
            at_once: Datasets whose draws are held at once.
            on_progress: Called with the number of finished datasets after each.
        """
        request = self.table_request(
            recipe,
            num_draws=num_draws,
            seed=seed,
            refine_seconds=refine_seconds,
            started=started,
            dropped_rows=dropped_rows,
        )
        names = list(datasets)
        for first in range(0, len(names), at_once):
            chosen = names[first : first + at_once]
            if first:
                request = dataclasses.replace(request, started=time.perf_counter())
            yield from posteriors_of(
                self.model,
                self.network,
                [datasets[name] for name in chosen],
                request,
                names=chosen,
                on_progress=lambda done, first=first: on_progress(first + done),
            )

    def table_request(
        self,
        recipe: AbstractRecipe,
        *,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        refine_seconds: float = REFINE_SECONDS,
        started: float | None = None,
        dropped_rows: int = 0,
    ) -> Request:
        """What all datasets that a recipe made of a table share; arguments are those of `infer_table`."""
        settings = self._request(num_draws, seed, refine_seconds, recipe.columns_of, started)
        entry = builtin_entry(self.model.function)
        is_linear = recipe.units == "table" or (entry is not None and entry.linear)
        return dataclasses.replace(settings, recipe=recipe, is_linear=is_linear, dropped_rows=dropped_rows)

    def _request(
        self,
        num_draws: int,
        seed: int,
        refine_seconds: float,
        columns: Mapping[str, Sequence[str]],
        started: float | None,
    ) -> Request:
        started = time.perf_counter() if started is None else started
        seen = self.record.get("data_envelope")
        envelope = None if seen is None else DataEnvelope.from_json(seen)
        standing = None if self.architecture is None else Standing.of(self.record)
        return Request(num_draws, seed, refine_seconds, started, columns, standing, envelope)

    def save(self, path: str | Path) -> None:
        """Writes the estimator to a directory; see `posterity.estimator.artifact`.

        Raises:
            InputError: It cannot be written, or is an informed one, which has nothing to keep.
        """
        if isinstance(self.network, InformedNetwork) or self.architecture is None or self.simulator is None:
            raise InputError(
                f"save({path}): the informed posterior of '{self.model.name}' was not trained: make it again with "
                "posterity.informed instead of saving it"
            )
        write_artifact(Artifact(self.simulator, self.network, self.architecture, self.record), Path(path))


def _check_names(names: Sequence[str | None], num_datasets: int) -> None:
    if len(names) != num_datasets:
        raise InputError(f"infer_each: {len(names)} names for {num_datasets} datasets; give one name for each")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"infer_each: the name '{name}' is given twice; two datasets of one name would share their random "
                "numbers. Give each its own"
            )
        if name is not None:
            seen.add(name)


def load(path: str | Path, model: Callable[..., Any] | None = None) -> Estimator:
    """Reads an estimator and makes sure that it still gives the densities that it gave when it was saved.

    Args:
        path: Its directory.
        model: The NumPyro model, where it is the user's own.

    Raises:
        InputError: No estimator, a damaged or foreign one, another model than it was trained for, or densities
            that have changed.
    """
    found = read_artifact(Path(path), model)
    return Estimator(found.simulator.model, found.network, found.simulator, found.architecture, found.record)
