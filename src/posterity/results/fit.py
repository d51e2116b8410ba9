r"""Do the data look like the model at all? Statistics of the data among those of data that the model makes.

Replications are drawn from the posterior predictive, one for each draw of the posterior. The p-value of one statistic
is the share of all R + 1 datasets in which it is at least as odd (Rubin 1984); the data took part in the fit, so it is
too large rather than too small. Of many statistics the smallest p-value counts, and is judged by the smallest p-values
that the replications have among each other (Westfall and Young 1993), which keeps the level of all together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from posterity.model.arguments import Argument
from posterity.results.by_row import replicated_data
from posterity.results.data import PosteriorData
from posterity.results.discrepancies import class_scores, discrepancies, normal_scores, outlyingness
from posterity.runtime.errors import InputError
from posterity.runtime.keys import key_for

__all__ = ["SUSPICIOUS", "Fit", "Statistic", "fit_of"]

SUSPICIOUS = 0.01
MOST_REPLICATED, FEWEST_REPLICATED, VALUES = 2000, 300, 10_000_000
MOST_ENTRIES, MOST_CLASSES = 3, 10


@dataclass(frozen=True)
class Statistic:
    """One number of the data seen, among those of replications.

    Attributes:
        name: What it looks at.
        value: Of the data.
        low: 5% quantile of the replications.
        high: Their 95% quantile.
        p_value: Share of all datasets in which it is at least as odd.
    """

    name: str
    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Fit:
    """Whether the data look like the model; printing it says so.

    Attributes:
        p_value: Of all statistics together: how often data of the model's own would show one as odd as the oddest.
        statistics: The oddest first.
        num_replicated: Datasets that the data were compared with.
    """

    p_value: float
    statistics: tuple[Statistic, ...]
    num_replicated: int

    @property
    def is_suspicious(self) -> bool:
        """Whether the p-value is below 0.01."""
        return self.p_value < SUSPICIOUS

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "is_suspicious": self.is_suspicious}

    def __str__(self) -> str:
        first = self.statistics[0]
        number = f"{len(self.statistics)} statistics, {self.num_replicated} replicated datasets"
        if not self.is_suspicious:
            return f"Nothing seen against the model: p = {self.p_value:.2g} over {number}."
        return (
            f"The data do not look like the model's: p = {self.p_value:.2g} over {number}; the oddest is the "
            f"{first.name} ({first.value:.3g}, where 90% of the replications lie from {first.low:.3g} to "
            f"{first.high:.3g})."
        )


def fit_of(posterior: PosteriorData, *, seed: int = 0) -> Fit:
    """Compares the data with replications from the posterior.

    Args:
        posterior: Of rows that are exchangeable.
        seed: Decides the replications.

    Raises:
        InputError: There is no posterior, there are no rows, or nothing finite could be made of them.
    """
    posterior.require_draws("fit")
    posterior.model.require_rows("fit")
    wanted = int(np.clip(VALUES // max(posterior.num_rows, 1), FEWEST_REPLICATED, MOST_REPLICATED))
    index = posterior.resampled(min(wanted, posterior.num_draws))
    index = np.resize(index, wanted)  # each draw as often as need be: its noise is new each time
    draws = {site: values[index] for site, values in posterior.weighted[0].items()}
    arrays = dict(posterior.data)
    made = replicated_data(posterior.model, draws, arrays, key_for(seed, "fit"))
    usable = np.all([np.isfinite(v.reshape(len(v), -1).astype(float)).all(axis=1) for v in made.values()], axis=0)
    if usable.sum() < FEWEST_REPLICATED / 2:
        raise InputError(f"fit: of {wanted} datasets that the model made, only {int(usable.sum())} are finite")
    generator = np.random.default_rng(seed)
    found: dict[str, tuple[np.ndarray, bool]] = {}
    for argument in posterior.model.data:
        values = np.concatenate([arrays[argument.name][None], made[argument.name][usable]]).astype(float)
        for name, statistic, two_sided in _of_argument(posterior, argument, values, generator):
            found[name] = statistic, two_sided
    if not found:
        raise InputError(f"fit: {posterior.num_rows} rows are too few to look like anything")
    return _judged(found)


def _of_argument(
    posterior: PosteriorData, argument: Argument, values: np.ndarray, generator: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Names, values and sides of the statistics of one data argument, `(dataset, row, ...)`."""
    columns, codes = _covariates(posterior)
    entries = values.reshape(*values.shape[:2], -1)
    for j in range(min(entries.shape[2], MOST_ENTRIES)):
        label = argument.name if argument.shape == () else f"{argument.name}[{j}]"
        value = entries[:, :, j]
        is_class = argument.kind in ("binary", "class")
        if is_class:
            num_classes = int(value.max()) + 1
            classes = [1] if num_classes <= 2 else range(min(num_classes, MOST_CLASSES))
            several = [
                (f"{label} = {c}" if num_classes > 2 else label, *class_scores(np.equal(value, float(c))))
                for c in classes
            ]
        else:
            several = [(label, normal_scores(value, generator), np.median(value, axis=0))]
            yield f"largest residual of {label}", outlyingness(value), False
            if argument.kind == "count":
                yield f"number of zeros of {label}", np.mean(value == 0.0, axis=1), True
        for name, scores, size in several:
            for what, statistic, two_sided in discrepancies(scores, size, columns, codes, is_class=is_class):
                yield f"{what} of {name}", statistic, two_sided


def _covariates(posterior: PosteriorData) -> tuple[Float[np.ndarray, "row column"], dict[str, np.ndarray]]:
    """Columns that are measured, and those that tell groups apart."""
    columns, codes = [np.zeros((posterior.num_rows, 0))], {}
    for argument in posterior.model.covariates:
        values = np.asarray(posterior.data[argument.name])
        if argument.is_size or len(values) != posterior.num_rows:
            continue
        flat = values.reshape(len(values), -1)
        if values.dtype.kind in "iub":
            names = [argument.name] if flat.shape[1] == 1 else [f"{argument.name}[{j}]" for j in range(flat.shape[1])]
            codes |= dict(zip(names, flat.T, strict=True))
        if not argument.is_index:
            columns.append(flat.astype(float))
    return np.concatenate(columns, axis=1), codes


def _judged(found: Mapping[str, tuple[np.ndarray, bool]]) -> Fit:
    """P-values of each dataset among all, and of the oddest of its statistics."""
    oddness = np.array([_oddness(values, two_sided) for values, two_sided in found.values()])  # (statistic, dataset)
    oddest = oddness.max(axis=0)
    statistics = []
    for (name, (values, _)), own in zip(found.items(), oddness, strict=True):
        low, high = np.quantile(values[1:], [0.05, 0.95])
        p_value = float(np.mean(own >= own[0]))
        statistics.append((-own[0], Statistic(name, float(values[0]), float(low), float(high), p_value)))
    statistics.sort(key=lambda pair: pair[0])
    return Fit(float(np.mean(oddest >= oddest[0])), tuple(one for _, one in statistics), len(oddest) - 1)


def _oddness(values: Float[np.ndarray, " dataset"], two_sided: bool) -> Float[np.ndarray, " dataset"]:
    """Minus the log of the share of datasets, itself included, that are at least as odd as each.

    The oddest of all is told from those of other statistics by how far it stands from the next, in sds.
    """
    if two_sided:  # each side in its own units
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        values = np.where(
            values > middle, values - middle, (middle - values) * (high - middle) / max(middle - low, 1e-300)
        )
    ordered = np.sort(values)
    odd = -np.log((len(values) - np.searchsorted(ordered, values, side="left")) / len(values))
    ahead = (ordered[-1] - ordered[-2]) / max(values.std(), 1e-300)
    return np.where(values > ordered[-2], odd + ahead, odd)
