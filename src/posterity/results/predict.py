"""What new rows will show: predictions averaged over the posterior, with intervals."""

import dataclasses
import html
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import random

from posterity.model.arguments import Argument
from posterity.model.arrays import plain_array
from posterity.model.dataset import SMALLEST_BUCKET, bucket_for, num_rows_of
from posterity.model.intake import read_arrays
from posterity.model.model import Model
from posterity.model.sites import DataKind
from posterity.results.by_row import VALUES_AT_ONCE, expected_counts, replicated_data, row_log_likelihood
from posterity.results.data import PosteriorData
from posterity.results.new_groups import groups_of_rows
from posterity.results.resampling import resampled_indices
from posterity.results.table import number_text
from posterity.runtime.errors import InputError, did_you_mean, lookup
from posterity.runtime.keys import key_for
from posterity.runtime.precision import precision_of
from posterity.trust.verdict import Verdict

if TYPE_CHECKING:
    import polars as pl


__all__ = ["Predictions", "predict", "sample_observations"]

MOST_TOLD = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for new rows, in their order.

    For real values and counts the numbers are those of a new observation, the noise of the likelihood included. For
    binary and class data they are those of the probability of each class, along a last axis of classes: its mean is
    the probability to predict with, and the interval says how well the probability is known.

    Attributes:
        target: What is predicted: the argument of the model, or the column of the table.
        kind: Kind of its values.
        interval: Probability between `lower` and `upper`, with equal tails.
        mean: Shape `(row, ...)`; NaN where a row has missing cells. Its Monte Carlo error is the standard deviation of
            a prediction over the square root of the number of draws; for counts whose likelihood knows its mean, that
            of this mean.
        median: Shape as `mean`.
        lower: Shape as `mean`.
        upper: Shape as `mean`.
        classes: Labels along the last axis for binary and class data; empty for other kinds.
        verdict: Of the posterior that predicts.
        reasons: Of that verdict; groups that the dataset did not have; and rows whose mean is not finite.
    """

    target: str
    kind: DataKind
    interval: float
    mean: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    classes: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        what = "probabilities" if self.classes else f"mean, median and {self.interval:.0%} interval"
        told = f"Predictions of {self.target} for {len(self.mean)} rows: {what}; by a posterior that is {self.verdict}"
        lines = [told, *(f"  - {reason}" for reason in self.reasons[:MOST_TOLD])]
        if self.mean.ndim == 1 + bool(self.classes):
            lines += [f"  row {i + 1}: {self._row_text(i)}" for i in range(min(len(self.mean), MOST_TOLD))]
        return "\n".join(lines)

    def _row_text(self, row: int) -> str:
        mean, lower, upper = self.mean[row], self.lower[row], self.upper[row]
        if self.classes:
            return ", ".join(f"{name} {chance:.2f}" for name, chance in list(zip(self.classes, mean, strict=False))[:5])
        sd = float(upper - lower) / 4.0
        return f"{number_text(float(mean), sd)} ({number_text(float(lower), sd)} to {number_text(float(upper), sd)})"

    def _repr_html_(self) -> str:
        told = html.escape(repr(self).partition("\n")[0])
        try:
            return f"<p>{told}</p>{self.to_frame()._repr_html_()}"
        except InputError:  # a matrix for each statistic
            return f"<p>{told}</p>"

    def to_frame(self) -> "pl.DataFrame":
        """One line per new row: `row` (from 1), then the numbers; empty where a row has missing cells.

        Real values and counts give `mean`, `median`, `lower` and `upper`. Classes give `predicted` (the most probable
        one) and, per class, `p[class]`, `lower[class]`, `upper[class]`; of a binary target only the second class.

        Raises:
            InputError: The target is a matrix.
        """
        import polars as pl

        if self.mean.ndim > (2 if self.classes else 1):
            raise InputError(f"predictions of '{self.target}' are a matrix per statistic; take `mean` and the others")
        columns: dict[str, Any] = {"row": np.arange(1, 1 + len(self.mean))}
        if self.classes:
            known = ~np.isnan(self.mean[:, 0])
            best = np.argmax(np.where(known[:, None], self.mean, 0.0), axis=1)
            columns["predicted"] = [self.classes[c] if k else None for c, k in zip(best, known, strict=True)]
            for code, name in list(enumerate(self.classes))[1 if self.kind == "binary" else 0 :]:
                for prefix, values in (("p", self.mean), ("lower", self.lower), ("upper", self.upper)):
                    columns[f"{prefix}[{name}]"] = values[:, code]
        else:
            columns |= {"mean": self.mean, "median": self.median, "lower": self.lower, "upper": self.upper}
        return pl.DataFrame(columns).fill_nan(None)


def predict(
    posterior: PosteriorData,
    new_rows: Mapping[str, Any],
    *,
    interval: float = 0.9,
    seed: int = 0,
    argument: str | None = None,
) -> Predictions:
    r"""Predictions from the posterior predictive distribution of new rows.

    The integral $\int p(\tilde y \mid \tilde x, \theta)\, p(\theta \mid D)\, d\theta$ is an average over the draws of
    the posterior, resampled by their weights where these are trusted. Rows are taken in turns, so that memory does not
    grow with their number. Groups that the dataset did not have are drawn from their prior given the other latents.

    Args:
        posterior: Posterior given D.
        new_rows: Covariate -> array with rows first. Data arguments may be there and are not read.
        interval: Probability between the bounds, above 0 and below 1.
        seed: Decides the noise of new observations.
        argument: The data argument to predict; it may stay away where there is only one.

    Raises:
        InputError: The model has no covariates or several data arguments, the rows do not fit those of the posterior,
            or the interval is no probability.
    """
    model = posterior.model
    posterior.require_draws("predict")
    model.require_rows("predict")
    if not 0.0 < interval < 1.0:
        raise InputError(
            f"predict: the interval must be a probability above 0 and below 1, such as 0.9; got {interval}"
        )
    target = _target(model, argument)
    grouped = groups_of_rows(posterior, new_rows)
    model = grouped.model
    arrays = _new_rows(model, posterior, grouped.rows)
    draws = grouped.draws(posterior, arrays, seed)
    levels = [0.5, (1.0 - interval) / 2.0, (1.0 + interval) / 2.0]
    if target.kind in ("binary", "class"):
        num_classes = 2 if target.kind == "binary" else target.num_classes
        classes = tuple(str(code) for code in range(num_classes))
        sample = _probabilities(model, draws, target, num_classes)
    else:
        classes, sample = (), _observations(model, draws, target, seed)
    # A quantile of counts shall be a count, not a number between two.
    method = "inverted_cdf" if target.kind == "count" else "linear"
    parts = []
    for turn, (rows, count) in enumerate(_turns(arrays, posterior.num_draws)):
        values, means = (part[:, :count].astype(np.float64) for part in sample(rows, turn))  # (draw, row, ...)
        parts.append((means.mean(axis=0), *np.quantile(values, levels, axis=0, method=method)))
    mean, median, lower, upper = (np.concatenate(statistic) for statistic in zip(*parts, strict=True))
    reasons = (*posterior.reasons, *grouped.reasons, *_not_finite(target.name, mean))
    return Predictions(
        target.name, target.kind, interval, mean, median, lower, upper, classes, posterior.verdict, reasons
    )


def sample_observations(
    posterior: PosteriorData,
    new_rows: Mapping[str, Any],
    num_samples: int,
    *,
    seed: int = 0,
    argument: str | None = None,
) -> np.ndarray:
    """New observations of new rows: each sample is a whole set of them at one draw of the posterior.

    Args:
        posterior: Given the dataset.
        new_rows: Covariate -> array with rows first.
        num_samples: Samples; more than there are draws repeat draws, with noise of their own.
        seed: Decides the noise.
        argument: The data argument; it may stay away where there is only one.

    Returns:
        Shape `(sample, row, ...)`; codes for classes.

    Raises:
        InputError: As in `predict`, or there are no samples.
    """
    posterior.require_draws("sample")
    posterior.model.require_rows("sample")
    if num_samples < 1:
        raise InputError(f"sample: the number of samples must be at least 1; got {num_samples}")
    target = _target(posterior.model, argument)
    grouped = groups_of_rows(posterior, new_rows)
    arrays = _new_rows(grouped.model, posterior, grouped.rows)
    index = resampled_indices(None, posterior.num_draws, num_samples)
    draws = {site: values[index] for site, values in grouped.draws(posterior, arrays, seed).items()}
    sample = _observations(grouped.model, draws, target, seed)
    turns = enumerate(_turns(arrays, num_samples))
    return np.concatenate([sample(rows, turn)[0][:, :count] for turn, (rows, count) in turns], axis=1)


def _not_finite(target: str, mean: np.ndarray) -> tuple[str, ...]:
    """A sentence on the rows whose mean is not finite, if there are any; given as a warning, too."""
    bad = np.flatnonzero(~np.isfinite(mean.reshape(len(mean), -1)).all(axis=1))
    if not len(bad):
        return ()
    told = (
        f"the mean of '{target}' is not finite in {len(bad)} of {len(mean)} new rows, the first in row {bad[0]}: its "
        "likelihood has none, or overflows there; do not extrapolate so far"
    )
    warnings.warn(f"predict: {told}", RuntimeWarning, stacklevel=3)
    return (told,)


Sampler = Callable[[Mapping[str, np.ndarray], int], tuple[np.ndarray, np.ndarray]]
"""`(rows, turn)` -> values of every draw, and their means given the draw."""


def _observations(model: Model, draws: Mapping[str, np.ndarray], target: Argument, seed: int) -> Sampler:
    """New observations, shape `(draw, row, ...)`, and means of counts where the likelihood knows them."""
    key = key_for(seed, "new rows")

    def sample(rows: Mapping[str, np.ndarray], turn: int) -> tuple[np.ndarray, np.ndarray]:
        key_turn = random.fold_in(key, turn)
        values = replicated_data(model, draws, rows, key_turn)[target.name]
        means = expected_counts(model, draws, rows, key_turn) if target.kind == "count" else {}
        return values, means.get(target.name, values)

    return sample


def _probabilities(model: Model, draws: Mapping[str, np.ndarray], target: Argument, num_classes: int) -> Sampler:
    """Probability of each class, shape `(draw, row, class)`: the likelihood at the code of each class."""
    if target.shape != ():
        raise InputError(
            f"predict: '{target.name}' has several {target.kind} values per row, for which there are no probabilities "
            "class by class. Take the group posterior_predictive of Posterior.to_arviz"
        )

    def sample(rows: Mapping[str, np.ndarray], _: int) -> tuple[np.ndarray, np.ndarray]:
        coded = ({**rows, target.name: np.full(num_rows_of(dict(rows)), code, np.int32)} for code in range(num_classes))
        chances = np.exp(np.stack([row_log_likelihood(model, draws, rows)[target.name] for rows in coded], axis=-1))
        return chances, chances

    return sample


def _target(model: Model, argument: str | None) -> Argument:
    data = {a.name: a for a in model.data}
    if argument is not None:
        return lookup("data argument", argument, data)
    if len(data) > 1:
        raise InputError(f"predict: '{model.name}' observes {', '.join(data)}; say which to predict: argument=...")
    return next(iter(data.values()))


def _new_rows(model: Model, posterior: PosteriorData, new_rows: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Covariates of the new rows, checked, with zeros for data.

    Raises:
        InputError: They do not fit the covariates of the posterior.
    """
    covariates = {a.name: a for a in model.covariates}
    if not covariates:
        raise InputError(f"predict: '{model.name}' has no covariates, so there is nothing to predict new rows from")
    given = {name: values for name, values in new_rows.items() if name not in posterior.observed}
    for name in covariates:
        if name not in given:
            raise InputError(
                f"predict: new rows lack '{name}'; '{model.name}' takes {', '.join(covariates)}."
                f"{did_you_mean(name, given)}"
            )
    of_groups = {name for group in model.groups for name in (*group.arrays, group.argument)}
    first = next(name for name in (*[n for n in covariates if n not in of_groups], *covariates))
    num_rows = len(np.atleast_1d(plain_array(f"predict: '{first}' of the new rows", given[first])))
    blank = {name: np.zeros((num_rows, *seen.shape[1:]), seen.dtype) for name, seen in posterior.observed.items()}
    with precision_of(posterior.data):
        arrays = read_arrays(model, {**given, **blank})
    for name, argument in covariates.items():
        if name not in of_groups:  # of which there may be more
            _check_like(argument, arrays[name], posterior.covariates[name])
    return arrays


def _check_like(argument: Argument, new: np.ndarray, seen: np.ndarray) -> None:
    """New rows as wide as those of the posterior."""
    if new.shape[1:] != seen.shape[1:]:
        raise InputError(
            f"predict: '{argument.name}' of the new rows has shape {new.shape}; expected (rows, "
            f"{', '.join(map(str, seen.shape[1:]))}), as in the dataset"
        )


def _turns(arrays: Mapping[str, np.ndarray], num_draws: int) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Rows in turns of one size, and how many of them are real: the last turn repeats its last row."""
    num_rows = num_rows_of(dict(arrays))
    at_once = 8
    while at_once < bucket_for(num_rows, [SMALLEST_BUCKET]) and 2 * at_once * num_draws <= VALUES_AT_ONCE:
        at_once *= 2
    for start in range(0, num_rows, at_once):
        index = np.minimum(np.arange(start, start + at_once), num_rows - 1)
        yield {name: array[index] for name, array in arrays.items()}, min(at_once, num_rows - start)
