"""The road of every dataset: read, draw, weigh, refine where need be, judge. One dataset is a batch of one."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, PRNGKeyArray

from posterity.inference.draw import Drawer, Network
from posterity.inference.posterior import Posterior
from posterity.inference.proposal import proposal_of
from posterity.inference.read import ReadDataset, by_program, read_dataset
from posterity.inference.rounds import Pool, Source, at_least, more_rounds, pool_of
from posterity.informed_posterior.informed import InformedNetwork
from posterity.model.dataset import Dataset, stack_places
from posterity.model.derivatives import explained_derivatives
from posterity.model.intake import num_rows_in
from posterity.model.model import Model
from posterity.results.axes import active_entries
from posterity.runtime.collection import no_full_collection
from posterity.runtime.compile import filter_jit
from posterity.runtime.defaults import MOST_DRAWS, NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError
from posterity.runtime.keys import dataset_key, for_purpose, key_for
from posterity.runtime.precision import precision
from posterity.runtime.status import working
from posterity.runtime.threads import num_cores, one_blas_thread
from posterity.tables.abstract_recipe import AbstractRecipe
from posterity.training.data_envelope import DataEnvelope
from posterity.trust.agreement import (
    NUM_LOOKED_AT,
    disagreement,
    is_one_of_few,
    log_joint_again,
    runs_with_64_bits,
    too_coarse,
    worth_a_look,
)
from posterity.trust.ladder import climb
from posterity.trust.refinement import Budget, Refinement
from posterity.trust.standing import Standing
from posterity.trust.weights import ImportanceWeights, pareto_smoothed_many, unusable_weights

__all__ = ["Request", "posteriors_of", "refuse_unsupported"]

MOST_SEED = 2**63 - 1
FINISHING = 0.2  # seconds that are kept for what follows on sampling


@dataclasses.dataclass(frozen=True)
class Request:
    """What all datasets of one call share.

    Attributes:
        num_draws: Draws of q for each dataset.
        seed: The same seed gives the same draws.
        refine_seconds: Time for each answer, all included: once it is over nothing more is begun. 0 for q alone.
        started: When the question was asked, by `time.perf_counter`.
        columns: Argument name -> names of its columns, for the labels of latents.
        standing: What a trained estimator has shown of itself; None where nothing was trained.
        envelope: What training datasets looked like; None where nothing was trained for this model.
        recipe: How the datasets were made of a table; None where they are given as arrays.
        is_linear: Latents are those of a linear predictor, which convert to the table's units.
        dropped_rows: Rows of the table that were left out because a cell was missing.

    Raises:
        InputError: There are no draws, the time is negative or no number, or the seed is none.
    """

    num_draws: int = NUM_DRAWS
    seed: int = 0
    refine_seconds: float = REFINE_SECONDS
    started: float = dataclasses.field(default_factory=time.perf_counter)
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    standing: Standing | None = None
    envelope: DataEnvelope | None = None
    recipe: AbstractRecipe | None = None
    is_linear: bool = False
    dropped_rows: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.num_draws <= MOST_DRAWS:
            raise InputError(f"infer: the number of draws must be from 1 to {MOST_DRAWS:,}; got {self.num_draws}")
        if not self.refine_seconds >= 0.0:
            raise InputError(f"infer: the time to refine must be at least 0 seconds; got {self.refine_seconds}")
        if not 0 <= self.seed <= MOST_SEED:
            raise InputError(f"infer: the seed must be a whole number from 0 to 2^63 - 1; got {self.seed}")

    @property
    def root(self) -> PRNGKeyArray:
        """Key that the keys of all datasets come from."""
        return key_for(self.seed, "datasets")

    def budget(self, num_datasets: int) -> Budget | None:
        """For sampling of one of so many datasets; None if there shall be none.

        The time is that of all datasets together, so that one may wait for programs which all of them use.
        """
        left = self.started + num_datasets * self.refine_seconds - time.perf_counter() - FINISHING
        return Budget(min(left, self.refine_seconds)) if self.refine_seconds > 0.0 else None


def posteriors_of(
    model: Model,
    network: Network,
    datasets: Sequence[Any],
    request: Request,
    *,
    names: Sequence[str | None] | None = None,
    first_place: int = 0,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Posterior]:
    """Checked posteriors, one for each dataset and in their order.

    Every dataset draws with a key of its own, from its name or, without one, from its place: posteriors of different
    datasets are independent of each other, and do not depend on what else is answered with them. A dataset that does
    not fit the model is `unanswered`, with the reason, and does not stop the others.

    Args:
        model: The model.
        network: The amortized posterior, trained or informed.
        datasets: Each is argument name -> array with rows first, or a table with a column for each argument.
        request: What to do with each.
        names: Name of each dataset, or None.
        first_place: Place of the first dataset among those without names.
        on_progress: Called with the number of finished datasets after each.
    """
    found: dict[int, Posterior] = {}
    reads: dict[int, ReadDataset] = {}

    def finished(i: int, posterior: Posterior) -> None:
        found[i] = posterior
        on_progress(len(found))

    for i, dataset in enumerate(datasets):
        name = None if names is None else names[i]
        try:
            reads[i] = read_dataset(model, network, dataset, name, first_place + i)
        except InputError as error:
            finished(i, _unanswered(model, request, name, dataset, error))
    while reads:
        again: dict[int, ReadDataset] = {}
        for chosen, drawn, seconds in _draw_all(by_program(reads), request):
            for (i, read), (own, weights, is_coarse) in zip(chosen.items(), drawn, strict=True):
                began = time.perf_counter() - seconds - read.spent
                is_far = isinstance(read.network, InformedNetwork) and read.network.is_far(own.z_of_q)
                if (is_far or (is_coarse and not read.is_double)) and runs_with_64_bits(read.model):
                    again[i] = read.doubled(is_far and (read.is_double or not is_coarse), seconds)
                    continue
                try:
                    with one_blas_thread(), precision(read.is_double):
                        finished(i, _finish(read, own, weights, request, began, len(datasets)))
                except InputError as error:
                    finished(i, _unanswered(read.model, request, read.name, read.arrays, error))
        reads = again  # one time, or two where scales turn out to be far
    return [found[i] for i in range(len(datasets))]


def _unanswered(model: Model, request: Request, name: str | None, dataset: Any, error: InputError) -> Posterior:
    arrays = dataset.values() if isinstance(dataset, Mapping) else ()
    sizes = [len(values) for values in arrays if hasattr(values, "__len__")]
    return Posterior(
        model=model,
        name=name,
        num_rows=1 if model.whole else max(sizes, default=0),
        verdict="unanswered",
        reasons=(str(error),),
        columns=request.columns,
        recipe=request.recipe,
    )


Weighed = tuple[Pool, ImportanceWeights, bool]
"""Draws of one dataset, their weights, and whether floats of 32 bits were too coarse for either."""


def _draw_all(
    by_size: Sequence[dict[int, ReadDataset]], request: Request
) -> Iterator[tuple[dict[int, ReadDataset], list[Weighed], float]]:
    """Draws and weights of some datasets at a time, and the seconds that each took; one thread for each core."""

    def draw(chosen: dict[int, ReadDataset]) -> tuple[list[Weighed], float]:
        started = time.perf_counter()
        reads = list(chosen.values())
        model, network = reads[0].model, reads[0].network
        places = stack_places([read.padded for read in reads], reads[0].places)
        doing = working("compiling, if it is the first time, and drawing")
        with doing, no_full_collection(), explained_derivatives(model), precision(reads[0].is_double):
            drawer = Drawer(network, model, places, request.seed, [read.words for read in reads])
            pools = _weighed(drawer, len(reads), at_least(request.num_draws, model.space.size))
        weighed = _checked(reads, pools)
        return weighed, (time.perf_counter() - started) / len(chosen)

    with one_blas_thread(), ThreadPoolExecutor(num_cores()) as pool:
        for reads in by_size:
            items = list(reads.items())
            size = items[0][1].places
            parts = [dict(items[first : first + size]) for first in range(0, len(items), size)]
            waves = [parts[:1], *(parts[k : k + num_cores()] for k in range(1, len(parts), num_cores()))]
            for wave in waves:  # the first compiles; not all at once, to bound memory
                for chosen, (weighed, seconds) in zip(wave, pool.map(draw, wave), strict=True):
                    yield chosen, weighed, seconds


def _weighed(drawer: Drawer, count: int, num_draws: int) -> list[tuple[Pool, ImportanceWeights]]:
    """Draws and weights of a batch of datasets; more than `num_draws` where it takes more to judge them."""
    noises = [drawer.noise(i, 0, num_draws) for i in range(count)]
    first = drawer.draw(range(count), noises)
    pools = [pool_of(*both) for both in zip(first, noises, strict=True)]
    weights = pareto_smoothed_many(np.stack([pool.log_ratios for pool in pools]))
    return [more_rounds(first[i], pools[i], weights[i], _source(drawer, i, num_draws), num_draws) for i in range(count)]


def _source(drawer: Drawer, i: int, num_draws: int) -> Source:
    """Further rounds of one dataset of a batch."""
    return Source(
        noise=lambda turn: drawer.noise(i, turn, num_draws),
        generator=lambda turn: drawer.generator(i, f"fits {turn}"),
        draw=lambda noise: drawer.draw([i] * len(noise), noise),
        active=drawer.active(i) if drawer.is_plain else None,
    )


def _checked(reads: Sequence[ReadDataset], weighed: Sequence[tuple[Pool, ImportanceWeights]]) -> list[Weighed]:
    """The weights, or none to rely on where the log joint of some draws comes out differently a second time."""
    chosen = [worth_a_look(pool.log_ratios) for pool, _ in weighed]
    z = np.stack([pool.z[which] for (pool, _), which in zip(weighed, chosen, strict=True)])
    again = log_joint_again(reads[0].model, stack_places([read.exact for read in reads], reads[0].places), z)
    checked = []
    for (pool, weights), which, second, size in zip(weighed, chosen, *again, strict=True):
        wrong = disagreement(pool.log_joint[which], second, size)
        usable = weights if wrong is None else unusable_weights(len(pool.log_q), wrong, is_sound=False)
        is_coarse = wrong is not None or too_coarse(pool.log_joint[which], second) or is_one_of_few(pool.z_of_q)
        checked.append((pool, usable, is_coarse))
    return checked


def _finish(
    read: ReadDataset,
    drawn: Pool,
    weights: ImportanceWeights,
    request: Request,
    started: float,
    num_datasets: int,
) -> Posterior:
    """Verdict, refinement and names of one dataset."""
    model, network = read.model, read.network
    refuse_unsupported(model, drawn.unsupported, read.arrays)
    num_rows = num_rows_in(model, read.arrays)
    outside = network.outside(num_rows, read.sizes)
    if request.envelope is not None:
        outside += request.envelope.reasons(read.arrays, request.columns)
    if request.recipe is not None:
        outside += request.recipe.scale_reasons(read.arrays)
    if request.standing is not None:
        outside += (request.standing.sentence,)

    def rng_key() -> PRNGKeyArray:
        return for_purpose(dataset_key(request.root, jnp.asarray(read.words)), "refine")

    budget = request.budget(num_datasets) if weights.is_sound else None  # a sampler would climb the same wrong density
    start = partial(drawn.start, at_least(request.num_draws, model.space.size))
    verdict, reasons, found = climb(model, read.padded, start, weights, outside, rng_key, budget)
    refined: tuple[dict[str, np.ndarray], np.ndarray, int] | tuple[None, None, int] = (None, None, 1)
    if found is not None and found.has_draws:
        wrong = _wrong_density(read, found)
        if wrong is not None:
            verdict, reasons = "untrusted", (wrong, *reasons)
        else:
            latents, log_joint, num_chains = _refined_draws(model, read.padded, found)
            refined = active_entries(model, latents, read.sizes), log_joint, num_chains
            if verdict == "untrusted":
                reasons = (*reasons, f"The draws are those of the {found.sampler}, which come closest.")
    return Posterior(
        model=model,
        name=read.name,
        num_rows=num_rows,
        num_draws=request.num_draws,
        verdict=verdict,
        reasons=reasons,
        standing=request.standing,
        data=read.arrays,
        proposed=active_entries(model, drawn.latents, read.sizes),
        log_q=drawn.log_q,
        log_joint=drawn.log_joint,
        is_of_q=drawn.is_of_q,
        weights=weights,
        refined=refined[0],
        refined_log_joint=refined[1],
        num_chains=refined[2],
        refinement=found,
        columns={**request.columns, **read.columns},
        recipe=request.recipe,
        is_linear=request.is_linear,
        dropped_rows=request.dropped_rows,
        by_sums=read.by_sums,
        seconds=time.perf_counter() - started,
        make_q=partial(proposal_of, network, model, read.padded),
        ask_again=partial(_asked_again, model, network, request, read.name),
    )


def _asked_again(
    model: Model,
    network: Network,
    request: Request,
    name: str | None,
    dataset: Mapping[str, np.ndarray],
    dropped_rows: int,
) -> Posterior:
    """The posterior of another dataset, asked for as the first one was."""
    dropped = request.dropped_rows + dropped_rows
    request = dataclasses.replace(request, started=time.perf_counter(), dropped_rows=dropped)
    return posteriors_of(model, network, [dataset], request, names=[name])[0]


def _wrong_density(read: ReadDataset, found: Refinement) -> str | None:
    """Where the density that the sampler climbed is not the model's, a sentence that says so."""
    if found.ends is None:
        return None
    z, log_density = (np.asarray(part)[:NUM_LOOKED_AT] for part in found.ends)
    second, size = log_joint_again(read.model, stack_places([read.exact], read.places), z[None])
    return disagreement(log_density, second[0], size[0])


def _refined_draws(model: Model, dataset: Dataset, found: Refinement) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Draws of all chains, one after the other, in the latents' supports; their log joint; and how many chains."""
    steps = found.kept_steps
    z = np.reshape(found.z[:, steps], (-1, found.z.shape[2]))
    parts = []
    for first in range(0, len(z), NUM_DRAWS):  # one size, one program
        index = np.minimum(np.arange(first, first + NUM_DRAWS), len(z) - 1)
        parts.append(jax.device_get(_at_draws(model, dataset, jnp.asarray(z[index]))))
    latents, log_joint = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(z)], *parts)
    return latents, log_joint, len(found.z)


@partial(filter_jit, effort="little")
def _at_draws(model: Model, dataset: Dataset, z: Array) -> tuple[dict[str, Array], Array]:
    return vmap(model.space.constrain)(z), lax.map(lambda at: model.log_joint(at, dataset), z)


def refuse_unsupported(model: Model, unsupported: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises InputError where a row has a value that the model cannot produce.

    Args:
        model: The model.
        unsupported: Data argument -> the rows, see `Model.unsupported_rows`; padded ones may follow.
        arrays: Argument -> array with rows first.
    """
    for name, rows in unsupported.items():
        if rows.any() and model.whole:
            raise InputError(
                f"dataset for '{model.name}': '{name}' holds values that its likelihood cannot produce; leave them out"
            )
        if rows.any():
            first = int(np.argmax(rows))
            raise InputError(
                f"dataset for '{model.name}': '{name}' has {int(rows.sum())} values that its likelihood cannot "
                f"produce, the first in row {first}: {arrays[name][first]}"
            )
