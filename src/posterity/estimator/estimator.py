"""The face of the package: an estimator, made by `fit` or `load`, answers datasets."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax import vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.architecture import Architecture
from posterity.amortized.families import AbstractPosterior
from posterity.amortized.network import AmortizedPosterior
from posterity.estimator.artifact import Contents, read_artifact, write_artifact
from posterity.results.data import Answer, Unanswered
from posterity.results.predict import Predictions
from posterity.inference.run import Request, answer_dataset, answer_datasets, pad_for
from posterity.informed.informed import InformedNetwork
from posterity.model.problem import Problem
from posterity.runtime.compile import filter_jit
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.training.data_envelope import DataEnvelope

__all__ = ["DatasetPosterior", "Estimator", "load"]


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetPosterior:
    """q(latents | D) of one dataset, raw: without importance weights; `Estimator.infer` adds them.

    Attributes:
        problem: The model.
        q: Posterior over the flat unconstrained `z`.
    """

    problem: Problem
    q: AbstractPosterior

    def sample(self, rng_key: PRNGKeyArray, num_samples: int) -> dict[str, Array]:
        """Latent site -> draws in its support, shape `(num_samples, *site_shape)`, plates at capacity."""
        z = self.q.sample(rng_key, num_samples)
        return vmap(self.problem.space.constrain)(z)

    def sample_and_log_prob(
        self, rng_key: PRNGKeyArray, num_samples: int
    ) -> tuple[Float[Array, "sample latent"], Float[Array, " sample"]]:
        """Draws of `z` and their log densities in nats."""
        return self.q.sample_and_log_prob(rng_key, num_samples)

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of one unconstrained `z` over its active coordinates, in nats."""
        return self.q.log_prob(z)


@dataclasses.dataclass(frozen=True, eq=False)
class Estimator:
    """An amortized posterior: made by `fit`, `load` or `informed_estimator`, it never changes.

    Attributes:
        problem: The model and its envelope.
        network: The amortized posterior.
        architecture: What a trained network is made of; None for the informed posterior.
        record: How it was trained and how well it did, as plain values.
    """

    problem: Problem
    network: AmortizedPosterior | InformedNetwork
    architecture: Architecture | None
    record: Mapping[str, Any]

    def posterior(self, dataset: Mapping[str, Any]) -> DatasetPosterior:
        """Raw posterior of one dataset.

        Args:
            dataset: Argument name -> array with rows first.

        Raises:
            InputError: The dataset does not fit the model.
        """
        padded = pad_for(self.network, self.problem, dataset)
        return DatasetPosterior(self.problem, _posterior(self.network, self.problem, padded))

    def infer(
        self,
        dataset: Mapping[str, Any],
        *,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        columns: Mapping[str, Sequence[str]] | None = None,
        refine_seconds: float = REFINE_SECONDS,
    ) -> Answer:
        """Checked posterior of one dataset: draws, importance weights, verdict.

        Where the weights are unhealthy, sampling goes on from q; see `posterity.trust.ladder`.

        Args:
            dataset: Argument name -> array with rows first.
            num_draws: Draws of q.
            seed: The same seed gives the same draws.
            columns: Argument name -> names of its columns, for labels such as `w[bmi]`.
            refine_seconds: Most time that sampling may take, compilation excluded; 0 for none.

        Raises:
            InputError: The dataset does not fit the model.
        """
        request = self._request(num_draws, seed, refine_seconds, columns)
        return answer_dataset(self.problem, self.network, dataset, request)

    def predict(
        self,
        dataset: Mapping[str, Any],
        new_rows: Mapping[str, Any],
        *,
        interval: float = 0.9,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        refine_seconds: float = REFINE_SECONDS,
    ) -> Predictions:
        """What the data of new rows will be, given a dataset: `infer`, then `Answer.predict`.

        Args:
            dataset: Argument name -> array with rows first.
            new_rows: Covariate -> array with rows first.
            interval: Probability between the bounds that are given.
            num_draws: Draws of q.
            seed: Decides the draws, and the noise of new observations.
            refine_seconds: Most time that sampling may take, compilation excluded; 0 for none.

        Raises:
            InputError: The dataset or the new rows do not fit the model.
        """
        answer = self.infer(dataset, num_draws=num_draws, seed=seed, refine_seconds=refine_seconds)
        return answer.predict(new_rows, interval=interval, seed=seed)

    def infer_many(
        self,
        datasets: Sequence[Mapping[str, Any]],
        *,
        num_draws: int = NUM_DRAWS,
        seed: int = 0,
        columns: Mapping[str, Sequence[str]] | None = None,
        groups: Sequence[str] | None = None,
        refine_seconds: float = REFINE_SECONDS,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> list[Answer | Unanswered]:
        """Checked posteriors of many datasets, each as `infer` would give it, in much less time.

        A dataset that does not fit the model gets an `Unanswered` with the reason, and the others their answers.

        Args:
            datasets: Each is argument name -> array with rows first.
            num_draws: Draws of q for each.
            seed: The same seed gives the same draws.
            columns: Argument name -> names of its columns, for labels such as `w[bmi]`.
            groups: Name of each dataset.
            refine_seconds: Most time that sampling may take for each, compilation excluded; 0 for none.
            on_progress: Called with the number of finished datasets after each.

        Raises:
            InputError: The settings cannot serve.
        """
        if groups is not None and len(groups) != len(datasets):
            raise InputError(f"infer_many: {len(groups)} groups for {len(datasets)} datasets; give one name for each")
        request = self._request(num_draws, seed, refine_seconds, columns)
        return answer_datasets(self.problem, self.network, datasets, request, groups=groups, on_progress=on_progress)

    def _request(
        self, num_draws: int, seed: int, refine_seconds: float, columns: Mapping[str, Sequence[str]] | None
    ) -> Request:
        seen = self.record.get("data_envelope")
        envelope = None if seen is None else DataEnvelope.from_json(seen)
        return Request(num_draws, seed, refine_seconds, columns or {}, envelope)

    def save(self, path: str | Path) -> None:
        """Writes the estimator to a directory; see `posterity.estimator.artifact`.

        Raises:
            InputError: It cannot be written, or is an informed one, which has nothing to keep.
        """
        if isinstance(self.network, InformedNetwork) or self.architecture is None:
            raise InputError(
                f"save({path}): the informed posterior of '{self.problem.name}' was not trained: make it again with "
                "posterity.informed_estimator instead of saving it"
            )
        contents = Contents(self.problem, self.network, self.architecture, self.record)
        write_artifact(contents, Path(path))


@filter_jit
def _posterior(network: AmortizedPosterior | InformedNetwork, problem: Problem, dataset: Any) -> AbstractPosterior:
    return network(dataset, problem.space.mask(dataset.plate_masks))


def load(path: str | Path, model: Callable[..., Any] | None = None) -> Estimator:
    """Reads an estimator and makes sure that it still gives the densities that it gave when it was saved.

    Args:
        path: Its directory.
        model: The NumPyro model, where it is the user's own.

    Raises:
        InputError: No estimator, a damaged or foreign one, another model than it was trained for, or densities
            that have changed.
    """
    return Estimator(*read_artifact(Path(path), model))
