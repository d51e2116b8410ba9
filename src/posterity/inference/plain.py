"""Plain answers to very many small datasets at once, as columns of numbers: no object is made for any of them.

They are those of `posteriors_of`: the same draws by the same programs, weighed, checked and judged by the same rules,
with loops along datasets that are NumPy's own. A dataset whose answer is out of the ordinary (it takes further rounds,
64 bits or chains, or cannot be read) gets none here, and is left to that road.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from posterity.inference.draw import Drawer, Drawn
from posterity.inference.plain_answers import PlainAnswers
from posterity.inference.ragged import Ragged
from posterity.inference.rounds import ENOUGH_TO_SKIP
from posterity.inference.run import Request
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.structure import Structure
from posterity.model.arguments import Argument
from posterity.model.dataset import MOST_ROWS, SMALLEST_BUCKET, Dataset, bucket_for
from posterity.model.derivatives import explained_derivatives
from posterity.model.intake import plate_sizes, read_arrays
from posterity.model.model import Model
from posterity.model.sums import same_sums
from posterity.results.axes import active_entries, latent_entries
from posterity.results.evidence import log_evidences
from posterity.results.summary import LEVELS
from posterity.runtime.collection import no_full_collection
from posterity.runtime.keys import dataset_words
from posterity.runtime.precision import LOST, is_double, narrowed, precision
from posterity.runtime.threads import num_cores, one_blas_thread
from posterity.tables.scaling import FAR, NARROW, WIDE
from posterity.trust.agreement import log_joint_again, may_be_one_of_few, say_the_same
from posterity.trust.moments import in_other_units, moments_and_quantiles_of_many
from posterity.trust.verdict import FEWEST_DRAWS, are_settled
from posterity.trust.weights import plainly_smoothed

__all__ = ["plain_answers", "takes_plain_answers"]

MANY = 128  # places of a batch: calls of programs then cost little beside what they do


def takes_plain_answers(model: Model, network: Any, request: Request) -> bool:
    """Whether many datasets of a model can be answered so: by their likelihood, with rows and a structure."""
    if not isinstance(network, InformedNetwork) or not isinstance(network.structure, Structure):
        return False
    return not (model.whole or model.groups or is_double() or request.standing or request.envelope)


def plain_answers(model: Model, network: InformedNetwork, datasets: Ragged, request: Request) -> Iterator[PlainAnswers]:
    """Answers in parts, in no particular order; datasets that none names are left.

    Args:
        model: The model; see `takes_plain_answers`.
        network: Informed.
        datasets: All of them.
        request: What to do with each.

    Raises:
        InputError: Some dataset does not fit the model; which one is left to find out, one by one.
    """
    with precision(True):
        wide = read_arrays(model, datasets.values)
    sizes = plate_sizes(model, wide)
    answering = _Answering(model, network, request, datasets, wide, sizes)
    with one_blas_thread(), ThreadPoolExecutor(num_cores()) as pool:
        waiting = [pool.submit(answering.answer, chosen) for chosen in answering.batches()]
        for future in waiting:
            found = future.result()
            if found is not None:
                yield found


class _Answering:
    """What all batches share."""

    def __init__(
        self,
        model: Model,
        network: InformedNetwork,
        request: Request,
        datasets: Ragged,
        wide: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
    ):
        self.model, self.network, self.request, self.sizes = model, network, request, sizes
        self.names, self.wide, self.starts = datasets.names, wide, datasets.starts
        self.num_rows = datasets.ends - datasets.starts
        self.width = sum(math.prod(array.shape[1:]) for array in wide.values())
        self.is_by_sums = network.is_by_sums
        self.masks = {plate: np.arange(size) < sizes[plate] for plate, size in model.capacity.items()}
        self.loses, self.is_odd = self._looked_at()

    def _looked_at(self) -> tuple[Bool[np.ndarray, " dataset"], Bool[np.ndarray, " dataset"]]:
        """Which datasets 32 bits lose something of, and which a recipe may have something to say about."""
        loses, is_odd = np.zeros(len(self.names), bool), np.zeros(len(self.names), bool)
        number = self.num_rows[:, None]
        for array in self.wide.values():
            columns = np.reshape(array, (len(array), -1))
            short = narrowed(columns)
            if array.dtype.kind != "f":
                loses |= np.logical_or.reduceat(np.any(short != columns, axis=1), self.starts)
                continue
            mean = np.add.reduceat(columns, self.starts) / number
            gaps = columns - np.repeat(mean, self.num_rows, axis=0)
            sd = np.sqrt(np.add.reduceat(np.square(gaps), self.starts) / number)
            varies = np.maximum.reduceat(np.abs(gaps), self.starts) > 0.0
            error = np.maximum.reduceat(np.abs(short - columns), self.starts)
            loses |= np.any(((error > LOST * sd) & varies) | ~np.isfinite(error), axis=1)
            is_odd |= np.any((np.abs(mean) > FAR) | (sd > WIDE) | ((sd > 1e-12) & (sd < NARROW)), axis=1)
        return loses, is_odd

    def batches(self) -> list[Int[np.ndarray, " dataset"]]:
        """Datasets to answer together: of one padded size, as many as memory and habit allow."""
        padded = np.maximum(SMALLEST_BUCKET, 2 ** np.ceil(np.log2(self.num_rows)).astype(int))
        found = []
        for size in np.unique(padded):
            chosen = np.flatnonzero((padded == size) & ~self.loses)
            places = self._places(int(size))
            found += [chosen[first : first + places] for first in range(0, len(chosen), places)]
        return found

    @staticmethod
    def _places(num_rows: int) -> int:
        return max(1, min(MANY, MOST_ROWS // num_rows))

    def answer(self, chosen: Int[np.ndarray, " dataset"]) -> PlainAnswers | None:
        """Answers to those of a batch that are plain, if there are any."""
        num_rows = bucket_for(int(self.num_rows[chosen].max()), [SMALLEST_BUCKET])
        places = self._places(num_rows)
        filled = np.resize(chosen, places)
        exact = self._padded(filled, num_rows)
        by_sums = (self.num_rows[filled] > self.width) & self.is_by_sums
        with no_full_collection(), explained_derivatives(self.model), precision(False):
            drawn, is_wider = self._drawn(self._dataset(exact, filled, by_sums), chosen)
            mixed = _mixture(drawn, is_wider)
            log_weights, pareto_k, is_plain = plainly_smoothed(mixed.log_joint - mixed.log_q)
            weights = np.exp(log_weights)
            num_draws = weights.shape[1]
            ess = np.minimum(1.0 / np.einsum("bs,bs->b", weights, weights), num_draws)
            is_plain &= are_settled(pareto_k, ess, weights.max(axis=1), num_draws) & (ess >= ENOUGH_TO_SKIP * num_draws)
            is_plain &= ~self.network.are_far(drawn.z) & ~may_be_one_of_few(drawn.z)
            is_plain &= ~np.any([rows.any(axis=1) for rows in drawn.unsupported.values()] or [False], axis=0)
            is_plain &= self._agrees(exact, drawn, mixed)
        kept = np.flatnonzero(is_plain)
        if not len(kept):
            return None
        return self._told(chosen[kept], kept, drawn, mixed, weights[kept], pareto_k[kept], ess[kept], by_sums[kept])

    def _padded(self, chosen: Int[np.ndarray, " dataset"], num_rows: int) -> Dataset:
        """The datasets as a batch, with 64 bits."""
        rows = np.arange(num_rows)
        is_real = rows < self.num_rows[chosen, None]
        index = np.where(is_real, self.starts[chosen, None] + rows, self.starts[chosen, None])
        values: dict[str, Any] = {}
        for argument in self.model.arguments:
            array = self.wide[argument.name]
            own = np.where(np.reshape(is_real, (*is_real.shape, *[1] * (array.ndim - 1))), array[index], 0)
            values[argument.name] = _padded_axes(own, argument)
        row_mask: Any = is_real
        masks: Any = {plate: np.broadcast_to(mask, (len(chosen), len(mask))) for plate, mask in self.masks.items()}
        return Dataset(values, row_mask, masks)

    def _dataset(
        self, exact: Dataset, chosen: Int[np.ndarray, " dataset"], by_sums: Bool[np.ndarray, " dataset"]
    ) -> Dataset:
        """What programs read, with 32 bits: the rows, or where sums suffice a few of the same sums."""
        if not self.is_by_sums:
            short: Any = {name: narrowed(np.asarray(array)) for name, array in exact.values.items()}
            return Dataset(short, exact.row_mask, exact.plate_masks)
        few = bucket_for(self.width + 1, [SMALLEST_BUCKET])
        number, num_rows = exact.row_mask.shape
        shapes = {argument.name: self.wide[argument.name].shape[1:] for argument in self.model.arguments}
        active = {n: exact.values[n][(slice(None), slice(None), *map(slice, s))] for n, s in shapes.items()}
        table = np.concatenate([np.reshape(a, (number, num_rows, -1)) for a in active.values()], axis=2)
        table = np.pad(table, [(0, 0), (0, max(0, few - num_rows)), (0, 0)])
        # Of fewer rows than that none can be spared: they stand as they are, and count once.
        summed, weights = same_sums(table, np.where(by_sums, self.num_rows[chosen], self.width + 1))
        summed = np.pad(summed, [(0, 0), (0, few - self.width - 1), (0, 0)])
        rows = np.where(by_sums[:, None, None], summed, table[:, :few])
        parts = np.split(rows, np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1], axis=2)
        values: dict[str, Any] = {}
        for argument, part in zip(self.model.arguments, parts, strict=True):
            own = np.reshape(part, (number, few, *shapes[argument.name]))
            values[argument.name] = narrowed(_padded_axes(own, argument))
        kept = np.where(by_sums, self.width + 1, self.num_rows[chosen])
        row_mask: Any = np.arange(few) < kept[:, None]
        weight: Any = np.where(by_sums, weights, 1.0).astype(np.float32)
        return Dataset(values, row_mask, exact.plate_masks, weight)

    def _drawn(
        self, places: Dataset, chosen: Int[np.ndarray, " dataset"]
    ) -> tuple[Drawn, Bool[np.ndarray, "dataset draw"]]:
        """Draws of the datasets, and which of them are wider than q."""
        words = [dataset_words(self.names[int(i)], 0) for i in chosen]
        drawer = Drawer(self.network, self.model, places, self.request.seed, words)
        num_draws = max(self.request.num_draws, FEWEST_DRAWS)
        noise = drawer.all_noise(num_draws)
        drawn = drawer.draw_all(noise)
        number = len(chosen)
        is_wider = np.take_along_axis(np.asarray(noise.stretch), np.asarray(noise.order), axis=1)[:number] >= 0.0
        arrays = (drawn.z, drawn.log_q, drawn.log_wider, drawn.log_joint)
        z, log_q, log_wider, log_joint = (array[:number] for array in arrays)
        latents = {site: array[:number] for site, array in drawn.latents.items()}
        unsupported = {name: array[:number] for name, array in drawn.unsupported.items()}
        return Drawn(z, latents, log_q, log_wider, log_joint, unsupported), is_wider

    def _agrees(self, exact: Dataset, drawn: Drawn, mixed: "_Mixed") -> Bool[np.ndarray, " dataset"]:
        """Where the log joint of some draws comes out the same a second time, from all rows and with 64 bits."""
        chosen = _worth_a_look(mixed.log_joint - mixed.log_q)
        z = np.take_along_axis(drawn.z, chosen[:, :, None], axis=1)
        second, size = log_joint_again(self.model, exact, z)
        return say_the_same(np.take_along_axis(mixed.log_joint, chosen, axis=1), second, size)

    def _told(
        self,
        places: Int[np.ndarray, " answer"],
        kept: Int[np.ndarray, " answer"],
        drawn: Drawn,
        mixed: "_Mixed",
        weights: np.ndarray,
        pareto_k: np.ndarray,
        ess: np.ndarray,
        by_sums: np.ndarray,
    ) -> PlainAnswers:
        """Numbers of the answers that are kept."""
        request, number, num_draws = self.request, len(kept), weights.shape[1]
        flat = {site: np.reshape(array[kept], (-1, *array.shape[2:])) for site, array in drawn.latents.items()}
        flat = active_entries(self.model, flat, self.sizes)
        recipe, entries = request.recipe, latent_entries(self.model, self.sizes, request.columns)
        labels = self.model.space.labels(entries if recipe is None else entries | recipe.entries)
        in_table_units = None
        if recipe is not None and request.is_linear:
            in_table_units = recipe.to_table_units(flat)
            if in_table_units is not None and recipe.units == "table":
                flat, labels, in_table_units = in_table_units, recipe.table_labels(labels), None

        def columns(draws: Mapping[str, np.ndarray]) -> Float[np.ndarray, "answer scalar draw"]:
            parts = [np.reshape(array, (number, num_draws, -1)) for array in draws.values()]
            return np.ascontiguousarray(np.moveaxis(np.concatenate(parts, axis=2), 1, 2))

        values, table_statistics = columns(flat), None
        statistics = moments_and_quantiles_of_many(values, weights, LEVELS)
        if in_table_units is not None:
            table_statistics = in_other_units(statistics, values, columns(in_table_units), weights, LEVELS)
        evidence, error = log_evidences(mixed.log_joint[kept] - mixed.log_q[kept])
        return PlainAnswers(
            which=places,
            num_rows=self.num_rows[places],
            pareto_k=pareto_k,
            ess=ess,
            log_evidence=evidence,
            evidence_error=error,
            labels=tuple(label for site in flat for label in labels[site]),
            statistics=statistics,
            table_statistics=table_statistics,
            reasons=self._reasons(places),
            by_sums=by_sums,
        )

    def _reasons(self, places: Int[np.ndarray, " answer"]) -> dict[int, tuple[str, ...]]:
        """What there is to say of corrected answers."""
        found = {}
        outside = {int(n): self.network.outside(int(n), self.sizes) for n in np.unique(self.num_rows[places])}
        for i in places.tolist():
            reasons = outside[int(self.num_rows[i])]
            if self.is_odd[i] and self.request.recipe is not None:
                rows = slice(self.starts[i], self.starts[i] + self.num_rows[i])
                reasons += self.request.recipe.scale_reasons({n: array[rows] for n, array in self.wide.items()})
            if reasons:
                found[i] = reasons
        return found


def _padded_axes(array: np.ndarray, argument: Argument) -> np.ndarray:
    """The array `(dataset, row, ...)` at the argument's capacity."""
    missing = np.subtract(argument.shape, array.shape[2:])
    return np.pad(array, [(0, 0), (0, 0), *[(0, int(m)) for m in missing]])


@dataclasses.dataclass(frozen=True, eq=False)
class _Mixed:
    """Log joint, and log density of the mixture that all draws are from; float64."""

    log_joint: Float[np.ndarray, "dataset draw"]
    log_q: Float[np.ndarray, "dataset draw"]


def _mixture(drawn: Drawn, is_wider: Bool[np.ndarray, "dataset draw"]) -> _Mixed:
    """Of the first round of each dataset, as `rounds.Pool` has it."""
    log_joint, log_q, log_wider = (np.asarray(a, np.float64) for a in (drawn.log_joint, drawn.log_q, drawn.log_wider))
    share = is_wider[0].mean()  # the same in all
    mixture = log_q + np.logaddexp(np.log(1.0 - share), np.log(share) + log_wider)
    ended = is_wider & (np.isnan(log_joint) | np.isposinf(log_joint) | ~np.isfinite(mixture))
    return _Mixed(np.where(ended, -np.inf, log_joint), np.where(ended, 0.0, mixture))


def _worth_a_look(log_ratios: Float[np.ndarray, "dataset draw"]) -> Int[np.ndarray, "dataset chosen"]:
    """Draws to look at twice, as `agreement.worth_a_look` has them."""
    spread = np.linspace(0, log_ratios.shape[1] - 1, 4).round().astype(int)
    ranked = np.nan_to_num(log_ratios, nan=np.inf, neginf=-np.inf)
    largest = np.argpartition(ranked, -4, axis=1)[:, -4:]
    return np.concatenate([np.broadcast_to(spread, largest.shape), largest], axis=1)
