"""What the values of training datasets looked like, and what about a dataset is unlike any of them.

A network that was trained has seen columns of certain means and spreads, and outliers of a certain size. What lies
beyond is named beside the verdict; whether the answer can be corrected is for the weights to say.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Float, PRNGKeyArray

from posterity.model.arguments import Argument
from posterity.model.dataset import Dataset
from posterity.runtime.compile import jit
from posterity.simulation.simulator import Simulator
from posterity.training.stream import DatasetStream, draw_sizes

__all__ = ["DataEnvelope", "measure_envelope"]

NUM_DATASETS = 256
MARGIN = 0.5  # of a range, on either side: the next dataset may go a little further than all before


@dataclasses.dataclass(frozen=True)
class DataEnvelope:
    """Ranges of what training datasets had.

    Attributes:
        ranges: Argument -> `mean` and `sd` of its columns, and `outlier`, the largest distance of a value from its
            column's mean, in sds: lowest and highest.
    """

    ranges: Mapping[str, Mapping[str, tuple[float, float]]]

    def reasons(self, arrays: Mapping[str, np.ndarray], columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """One sentence for each way in which a dataset is unlike those.

        Args:
            arrays: Argument -> array with rows first.
            columns: Argument -> names of its columns.
        """
        found = []
        for name, ranges in self.ranges.items():
            described = _describe(arrays[name])
            if described is None:
                continue
            which, values = described
            for statistic, (low, high) in ranges.items():
                beyond = _beyond(values[statistic], low, high, np.log if statistic == "sd" else np.asarray)
                if beyond.max() > 0.0:
                    at = int(np.argmax(beyond))
                    label = _label(name, arrays[name], int(which[at]), columns)
                    found.append(_sentence(label, statistic, float(values[statistic][at]), low, high))
        return tuple(found)

    def to_json(self) -> dict[str, dict[str, list[float]]]:
        """Plain values."""
        return {name: {key: list(ends) for key, ends in ranges.items()} for name, ranges in self.ranges.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "DataEnvelope":
        """The inverse of `to_json`."""
        return cls({name: {k: (v[0], v[1]) for k, v in ranges.items()} for name, ranges in record.items()})


def measure_envelope(simulator: Simulator, stream: DatasetStream, rng_key: PRNGKeyArray) -> DataEnvelope:
    """Ranges over datasets of a stream, of all sizes that the problem's envelope holds.

    Args:
        simulator: The model.
        stream: Where training datasets come from.
        rng_key: Consumed here.
    """
    datasets = jax.device_get(_draw(simulator, stream, rng_key))
    ranges: dict[str, dict[str, tuple[float, float]]] = {}
    for argument in filter(_is_compared, simulator.model.arguments):
        rows = [values[mask] for values, mask in zip(datasets.values[argument.name], datasets.row_mask, strict=True)]
        described = [found[1] for found in map(_describe, rows) if found is not None]
        if described:
            joined = {key: np.concatenate([one[key] for one in described]) for key in described[0]}
            ranges[argument.name] = {key: (float(v.min()), float(v.max())) for key, v in joined.items()}
    return DataEnvelope(ranges)


def _draw(simulator: Simulator, stream: DatasetStream, rng_key: PRNGKeyArray) -> Dataset:
    low, high = simulator.envelope.rows

    def one(key: PRNGKeyArray) -> Dataset:
        key_sizes, key_data = random.split(key)
        num_rows, sizes = draw_sizes(simulator, key_sizes, low, high)
        return stream.draw(simulator, key_data, jnp.arange(high) < num_rows, simulator.model.plate_masks(sizes))[0]

    return jit(lambda keys: lax.map(one, keys), effort="little")(random.split(rng_key, NUM_DATASETS))


def _is_compared(argument: Argument) -> bool:
    """Codes of classes and indices have no mean worth comparing."""
    return argument.kind == "count" or (argument.kind == "real" and argument.dtype == "float32")


def _describe(values: np.ndarray) -> tuple[np.ndarray, dict[str, Float[np.ndarray, " column"]]] | None:
    """Which columns vary, with mean, sd and largest outlier of each; None if none does.

    A column that does not vary is padding, or an intercept.
    """
    flat = np.reshape(np.asarray(values, np.float64), (len(values), -1))
    mean, sd = flat.mean(axis=0), flat.std(axis=0)
    which = np.flatnonzero(sd > 1e-6 * np.maximum(np.abs(mean), 1e-30))
    if len(which) == 0:
        return None
    outlier = np.max(np.abs(flat[:, which] - mean[which]), axis=0) / sd[which]
    return which, {"mean": mean[which], "sd": sd[which], "outlier": outlier}


def _beyond(values: np.ndarray, low: float, high: float, scale: Callable[[Any], Any]) -> np.ndarray:
    """How far values lie beyond a range with its margin; spreads are compared as ratios, by their logarithms."""
    values, low, high = scale(values), scale(low), scale(high)
    margin = MARGIN * (high - low)
    return np.maximum(low - margin - values, values - high - margin)


def _label(name: str, values: np.ndarray, column: int, columns: Mapping[str, Sequence[str]]) -> str:
    if values.ndim == 1:
        return f"'{name}'"
    names = columns.get(name)
    return f"column '{names[column]}'" if names is not None and column < len(names) else f"'{name}[{column}]'"


def _sentence(label: str, statistic: str, value: float, low: float, high: float) -> str:
    ends = f"training datasets had {low:.3g} to {high:.3g}"
    if statistic == "outlier":
        return f"{label} has a value {value:.3g} sds from its mean; {ends}"
    return f"{label} has {statistic} {value:.3g}; {ends}"
