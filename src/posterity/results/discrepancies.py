r"""Numbers that tell a dataset from others, each for the data seen and for data that the model made.

Row i of the data seen stands in one line with its R replications, and takes its place among these R + 1: for numbers
the normal score of its rank, $r_i = \Phi^{-1}((\mathrm{rank} + 1/2) / (R + 1))$, ties broken at random; for classes
$r_i = (1[y_i = c] - p_{ic}) / \sqrt{p_{ic} (1 - p_{ic})}$. Every replication gets its own $r$ in the same way, so that
data and replications are treated alike, and statistics of $r$ are compared with those of the replications.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtri

__all__ = ["class_scores", "discrepancies", "normal_scores", "outlyingness"]

MOST_COLUMNS, MOST_CROSSED = 20, 6
NUM_BINS = 8
FEWEST_ROWS = 5

Scores = Float[np.ndarray, "dataset row"]


def normal_scores(values: Float[np.ndarray, "dataset row"], generator: np.random.Generator) -> Scores:
    """Normal score of each value among those of its row in all datasets, ties broken at random."""
    num_datasets = len(values)
    if np.all(values == np.floor(values)):
        values = values + generator.random(values.shape)  # each tie by itself
    shuffled = generator.permutation(num_datasets)  # rare ties: in the order of shuffled datasets
    order = np.argsort(np.ascontiguousarray(values[shuffled].T), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, shuffled[order], np.arange(num_datasets)[None], axis=1)
    return ndtri((np.arange(num_datasets) + 0.5) / num_datasets)[ranks.T]


def class_scores(is_class: Shaped[np.ndarray, "dataset row"]) -> tuple[Scores, Float[np.ndarray, " row"]]:
    """Standardised residuals of a class, and its probability in each row; 0 where that is 0 or 1."""
    chance = is_class.mean(axis=0)
    sd = np.sqrt(chance * (1.0 - chance))
    return np.divide(is_class - chance, sd, out=np.zeros(is_class.shape), where=sd > 0.0), chance


def outlyingness(values: Float[np.ndarray, "dataset row"]) -> Float[np.ndarray, " dataset"]:
    """The largest distance of a row from its median, in units of the middle half of its replications."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    spread = np.where(high > low, high - low, np.maximum(values.std(axis=0), 1e-12))
    return np.max(np.abs(values - middle) / spread, axis=1)


def discrepancies(
    scores: Scores,
    size: Float[np.ndarray, " row"],
    columns: Float[np.ndarray, "row column"],
    codes: Mapping[str, Shaped[np.ndarray, " row"]],
    *,
    is_class: bool,
) -> Iterator[tuple[str, Float[np.ndarray, " dataset"], bool]]:
    """Name, value for each dataset, and whether both large and small ones are odd.

    Args:
        scores: Of each row, see the module.
        size: What the model expects in each row: probability of a class, else the median.
        columns: Covariates that are measured.
        codes: Name -> covariate that tells groups apart.
        is_class: Scores are those of a class: two values for each row, which have no spread of their own.
    """
    num_rows = scores.shape[1]
    if num_rows < FEWEST_ROWS:
        return
    lines = _standard(columns[:, :MOST_COLUMNS])
    if not is_class:
        yield "spread", np.mean(scores**2, axis=1), True
        yield "skewness", np.mean(scores**3, axis=1), True
    elif num_rows >= 4 * NUM_BINS:
        yield "probabilities", _between(scores, _bins(size)), False
    if lines.shape[1]:
        yield "slope along a covariate", _largest(scores, lines), False
        bends = _bends(lines)
        if bends.shape[1]:
            yield "bend or product of covariates", _largest(scores, bends), False
    if not is_class:
        along = _standard(np.column_stack([size, lines]))
        if along.shape[1]:
            squares = scores**2 - np.mean(scores**2, axis=1, keepdims=True)
            yield "spread that grows", _largest(squares, along), False
        by_size = _bins(size)
        if num_rows >= 4 * NUM_BINS and by_size.max() > 0:
            yield "level along the expected value", _between(scores, by_size), False
    for name, code in codes.items():
        _, group = np.unique(code, return_inverse=True)
        if 2 <= group.max() + 1 <= num_rows // 2:
            yield f"differences between groups of '{name}'", _between(scores, group), False
    yield "likeness of neighbouring rows", np.mean(scores[:, 1:] * scores[:, :-1], axis=1), True


def _standard(columns: np.ndarray) -> np.ndarray:
    """Columns that vary, with mean 0 and sum of squares 1."""
    centred = columns - columns.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    varies = size > 1e-9 * (1.0 + np.abs(columns).max(axis=0, initial=0.0))
    return centred[:, varies] / size[varies]


def _bends(lines: np.ndarray) -> np.ndarray:
    """Squares of columns and products of the first, without what a plane already explains."""
    few = lines[:, :MOST_CROSSED]
    crossed = [few[:, i] * few[:, j] for i in range(few.shape[1]) for j in range(i)]
    found = np.column_stack([lines**2, *crossed])
    plane = np.column_stack([np.ones(len(lines)), lines])
    if len(lines) <= plane.shape[1]:
        return found[:, :0]
    size = np.linalg.norm(found, axis=0)
    rest = found - plane @ np.linalg.lstsq(plane, found, rcond=None)[0]
    return _standard(rest[:, np.linalg.norm(rest, axis=0) > 1e-3 * size])


def _largest(scores: Scores, directions: np.ndarray) -> Float[np.ndarray, " dataset"]:
    return np.max(np.abs(scores @ directions), axis=1)


def _bins(size: Float[np.ndarray, " row"]) -> np.ndarray:
    """Rows in groups of about one expected value."""
    return np.unique(np.searchsorted(np.quantile(size, np.arange(1, NUM_BINS) / NUM_BINS), size), return_inverse=True)[
        1
    ]


def _between(scores: Scores, group: np.ndarray) -> Float[np.ndarray, " dataset"]:
    """Sum over groups of their size times their squared mean score."""
    member = np.eye(group.max() + 1)[group]  # (row, group)
    return np.sum((scores @ member) ** 2 / member.sum(axis=0), axis=1)
