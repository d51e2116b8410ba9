"""From a trained network and one dataset to an answer: draws, weights, verdict."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.network import AmortizedPosterior
from posterity.inference.answer import Answer, Unanswered
from posterity.inference.axes import active_entries, argument_axes, latent_axes, latent_entries
from posterity.informed.informed import InformedNetwork
from posterity.model.dataset import Dataset, bucket_for, num_rows_of
from posterity.model.intake import pad_dataset, plate_sizes, read_arrays
from posterity.model.problem import Problem
from posterity.runtime.compile import filter_jit
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.runtime.threads import num_cores, one_blas_thread
from posterity.training.data_envelope import DataEnvelope
from posterity.trust.agreement import disagreement, log_joint_again, worth_a_look
from posterity.trust.ladder import climb
from posterity.trust.refinement import Budget, Refinement
from posterity.trust.weights import (
    ImportanceWeights,
    equal_weights,
    pareto_smoothed,
    pareto_smoothed_many,
    unusable_weights,
)

__all__ = ["Network", "Request", "answer_dataset", "answer_datasets", "pad_for"]

Network = AmortizedPosterior | InformedNetwork
Item = TypeVar("Item")

TOGETHER = 64  # datasets whose draws are held at once
DRAWS_TIMES_ROWS = 4_000_000  # log likelihoods held at once; more draws are taken in turns, to bound memory


@dataclasses.dataclass(frozen=True)
class Request:
    """What all datasets of one call share.

    Attributes:
        num_draws: Draws of q for each dataset.
        seed: The same seed gives the same draws.
        refine_seconds: Most time that sampling may take for each dataset, compilation excluded; 0 for none.
        columns: Argument name -> names of its columns, for the labels of latents.
        envelope: What training datasets looked like; None where nothing was trained for this model.

    Raises:
        InputError: There are no draws, or the time is negative or no number.
    """

    num_draws: int = NUM_DRAWS
    seed: int = 0
    refine_seconds: float = REFINE_SECONDS
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    envelope: DataEnvelope | None = None

    def __post_init__(self) -> None:
        if self.num_draws < 1:
            raise InputError(f"infer: the number of draws must be at least 1; got {self.num_draws}")
        if not self.refine_seconds >= 0.0:
            raise InputError(f"infer: the time to refine must be at least 0 seconds; got {self.refine_seconds}")

    @property
    def rng_key(self) -> PRNGKeyArray:
        """Key of the draws."""
        return random.key(self.seed)

    @property
    def budget(self) -> Budget | None:
        """For sampling; None if there shall be none."""
        return Budget(self.refine_seconds) if self.refine_seconds > 0.0 else None


def answer_dataset(problem: Problem, network: Network, dataset: Mapping[str, Any], request: Request) -> Answer:
    """Posterior of one dataset with importance weights, refined where they are unhealthy, and a verdict.

    Args:
        problem: The model.
        network: The amortized posterior, trained or informed.
        dataset: Argument name -> array with rows first.
        request: What to do with it.

    Raises:
        InputError: The dataset does not fit the model.
    """
    started = time.perf_counter()
    read = _read(problem, network, dataset)
    with one_blas_thread():
        found = draw_and_weigh(network, problem, read.padded, request.rng_key, request.num_draws)
        drawn = _Drawn(*jax.device_get(found))
        return _finish(problem, network, read, drawn, pareto_smoothed(_log_ratios(drawn)), request, None, started)


def answer_datasets(
    problem: Problem,
    network: Network,
    datasets: Sequence[Mapping[str, Any]],
    request: Request,
    *,
    groups: Sequence[str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answer | Unanswered]:
    """`answer_dataset` for many datasets, drawn together where they have one padded size.

    Each gets the answer that it would get alone with the same key; one that cannot be answered does not stop the rest.

    Args:
        problem: The model.
        network: The amortized posterior, trained or informed.
        datasets: Each is argument name -> array with rows first.
        request: What to do with each.
        groups: Name of each dataset.
        on_progress: Called with the number of finished datasets after each.
    """
    names = [None] * len(datasets) if groups is None else list(groups)
    found: dict[int, Answer | Unanswered] = {}
    by_size: dict[int, dict[int, _Read]] = {}
    for i, dataset in enumerate(datasets):
        try:
            read = _read(problem, network, dataset)
            by_size.setdefault(read.padded.row_mask.shape[0], {})[i] = read
        except InputError as error:
            found[i] = Unanswered(problem.name, names[i], (str(error),))
            on_progress(len(found))
    for chosen, drawn, seconds in _draw_all(problem, network, by_size.values(), request):
        for (i, read), (one, weights) in zip(chosen.items(), drawn, strict=True):
            began = time.perf_counter() - seconds
            try:
                with one_blas_thread():
                    found[i] = _finish(problem, network, read, one, weights, request, names[i], began)
            except InputError as error:
                found[i] = Unanswered(problem.name, names[i], (str(error),))
            on_progress(len(found))
    return [found[i] for i in range(len(datasets))]


@dataclasses.dataclass(frozen=True)
class _Read:
    """A dataset at the door: its arrays, the sizes of its variable plates, and both padded."""

    arrays: dict[str, np.ndarray]
    sizes: dict[str, int]
    padded: Dataset


class _Drawn(NamedTuple):
    """What `draw_and_weigh` gives, as NumPy arrays."""

    z: np.ndarray
    latents: dict[str, np.ndarray]
    log_q: np.ndarray
    log_joint: np.ndarray
    unsupported: dict[str, np.ndarray]


def _log_ratios(drawn: _Drawn) -> np.ndarray:
    return drawn.log_joint.astype(np.float64) - drawn.log_q


def _read(problem: Problem, network: Network, dataset: Mapping[str, Any]) -> _Read:
    arrays = read_arrays(problem, dataset)
    return _Read(arrays, plate_sizes(problem, arrays), pad_for(network, problem, dataset))


def _draw_all(
    problem: Problem, network: Network, by_size: Iterable[dict[int, _Read]], request: Request
) -> Iterator[tuple[dict[int, _Read], list[tuple[_Drawn, ImportanceWeights]], float]]:
    """Draws and weights of some datasets at a time, and the seconds that each took; one thread for each core."""

    def draw(chosen: dict[int, _Read]) -> tuple[list[tuple[_Drawn, ImportanceWeights]], float]:
        started = time.perf_counter()
        drawn = _draw_together(problem, network, [read.padded for read in chosen.values()], request)
        weights = pareto_smoothed_many(np.stack([_log_ratios(one) for one in drawn]))
        return list(zip(drawn, weights, strict=True)), (time.perf_counter() - started) / len(chosen)

    with one_blas_thread(), ThreadPoolExecutor(num_cores()) as pool:
        for reads in by_size:
            first, *rest = (dict(part) for part in _in_parts(list(reads.items()), TOGETHER))
            waves = [[first], *_in_parts(rest, num_cores())]  # the first compiles; not all at once, to bound memory
            for wave in waves:
                for chosen, (drawn, seconds) in zip(wave, pool.map(draw, wave), strict=True):
                    yield chosen, drawn, seconds


def _in_parts(items: list[Item], size: int) -> list[list[Item]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _draw_together(problem: Problem, network: Network, padded: Sequence[Dataset], request: Request) -> list[_Drawn]:
    """Draws for datasets of one padded size; their number is filled up to a power of two, so that programs are few."""
    filled = [*padded, *[padded[-1]] * (bucket_for(len(padded), [1]) - len(padded))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *filled)
    drawn = jax.device_get(_draw_and_weigh_many(network, problem, stacked, request.rng_key, request.num_draws))
    return [_Drawn(*jax.tree.map(lambda leaf, i=i: leaf[i], drawn)) for i in range(len(padded))]


def _finish(
    problem: Problem,
    network: Network,
    read: _Read,
    drawn: _Drawn,
    weights: ImportanceWeights,
    request: Request,
    group: str | None,
    started: float,
) -> Answer:
    """Verdict, refinement and names of one dataset."""
    _refuse_unsupported(problem, drawn.unsupported, read.arrays)
    num_rows = next(iter(read.arrays.values())).shape[0]
    outside = network.outside(problem, num_rows, read.sizes)
    if request.envelope is not None:
        outside += request.envelope.reasons(read.arrays, request.columns)
    looked_at = worth_a_look(_log_ratios(drawn))
    wrong = disagreement(drawn.log_joint[looked_at], *log_joint_again(problem, read.padded, drawn.z[looked_at]))
    if wrong is not None:
        weights = unusable_weights(request.num_draws, wrong)
    budget = request.budget if wrong is None else None  # a sampler would climb the same wrong density
    key = random.fold_in(request.rng_key, 1)
    verdict, reasons, found = climb(problem, read.padded, drawn.z, weights, outside, key, budget)
    latents, log_q, log_joint = drawn.latents, drawn.log_q, drawn.log_joint
    if verdict == "refined" and found is not None:
        latents, log_joint = _refined_draws(problem, read.padded, found, request.num_draws)
        ess = min(found.min_ess, request.num_draws)
        log_q, weights = None, equal_weights(request.num_draws, weights.pareto_k, ess)
    entries = latent_entries(problem, read.sizes, request.columns)
    dims, coords = latent_axes(problem, entries)
    data_dims, data_coords = argument_axes(problem, entries, request.columns)
    return Answer(
        model=problem.name,
        num_rows=num_rows,
        group=group,
        draws=active_entries(problem, latents, read.sizes),
        labels=problem.space.labels(entries),
        dims=data_dims | dims,
        coords=data_coords | coords,
        log_q=log_q,
        log_joint=log_joint,
        weights=weights,
        verdict=verdict,
        reasons=reasons,
        observed={argument.name: read.arrays[argument.name] for argument in problem.data},
        covariates={argument.name: read.arrays[argument.name] for argument in problem.covariates},
        problem=problem,
        refinement=found,
        seconds=time.perf_counter() - started,
    )


def pad_for(network: Network, problem: Problem, dataset: Mapping[str, Any]) -> Dataset:
    """The dataset padded to one of the numbers of rows that a network is compiled for.

    Args:
        network: Says which.
        problem: The model.
        dataset: Argument name -> array with rows first.

    Raises:
        InputError: The dataset does not fit the model.
    """
    num_rows = num_rows_of(read_arrays(problem, dataset))
    return pad_dataset(problem, dataset, network.padded_rows(problem, num_rows))


def _draw_and_weigh(
    network: Network, problem: Problem, dataset: Dataset, rng_key: PRNGKeyArray, num_draws: int
) -> tuple[Array, dict[str, Array], Float[Array, " draw"], Float[Array, " draw"], dict[str, Array]]:
    """Draws of q, unconstrained and in the latents' supports, log q, log joint, and rows the model cannot produce.

    Args:
        network: The amortized posterior.
        problem: The model.
        dataset: One padded dataset.
        rng_key: Consumed here.
        num_draws: Draws of q.
    """
    q = network(dataset, problem.space.mask(dataset.plate_masks))
    z, log_q = q.sample_and_log_prob(rng_key, num_draws)
    log_joint = _log_joints(problem, z, dataset)
    return z, vmap(problem.space.constrain)(z), log_q, log_joint, problem.unsupported_rows(dataset)


def _log_joints(problem: Problem, z: Float[Array, "draw latent"], dataset: Dataset) -> Float[Array, " draw"]:
    """Log joint of all draws, so many side by side as memory allows."""
    at_once = max(1, DRAWS_TIMES_ROWS // dataset.row_mask.shape[0])
    if len(z) <= at_once:
        return vmap(problem.log_joint, in_axes=(0, None))(z, dataset)
    return lax.map(lambda one: problem.log_joint(one, dataset), z, batch_size=at_once)


draw_and_weigh = filter_jit(_draw_and_weigh)


@filter_jit
def _draw_and_weigh_many(
    network: Network, problem: Problem, datasets: Dataset, rng_key: PRNGKeyArray, num_draws: int
) -> Any:
    return lax.map(lambda dataset: _draw_and_weigh(network, problem, dataset, rng_key, num_draws), datasets)


def _refined_draws(
    problem: Problem, dataset: Dataset, found: Refinement, num_draws: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Evenly spaced draws of all chains in the latents' supports, and their log joint; repeated if there are fewer."""
    all_draws = np.reshape(np.moveaxis(found.z, 0, 1), (-1, found.z.shape[2])).astype(np.float32)
    chosen = all_draws[np.linspace(0, len(all_draws) - 1, num_draws).round().astype(int)]
    return jax.device_get(_at_draws(problem, dataset, jnp.asarray(chosen)))


@filter_jit
def _at_draws(problem: Problem, dataset: Dataset, z: Array) -> tuple[dict[str, Array], Array]:
    return vmap(problem.space.constrain)(z), lax.map(lambda one: problem.log_joint(one, dataset), z)


def _refuse_unsupported(
    problem: Problem, unsupported: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> None:
    for name, rows in unsupported.items():
        if rows.any():
            first = int(np.argmax(rows))
            raise InputError(
                f"dataset for '{problem.name}': '{name}' has {int(rows.sum())} values that its likelihood cannot "
                f"produce, the first in row {first}: {arrays[name][first]}"
            )
