"""Test datasets: drawn from the model with a fixed seed, each with held-out rows of the same latents."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, Bool, Float

import posterity
from posterity.model.dataset import Dataset
from posterity.runtime.compile import jit
from posterity.training import DatasetStream
from study.settings import ROWS, Task

__all__ = ["NUM_DATASETS", "NUM_HELD_OUT", "TestSet", "make_test_set"]

NUM_DATASETS = 100
NUM_HELD_OUT = 128
SEED = 0


class TestSet(NamedTuple):
    """Datasets of one task.

    Attributes:
        model: Their model.
        datasets: A batch; rows padded to the most that there can be.
        held_out: As many further rows of each, all real.
        z: The latents that made them, shape `(dataset, latent)`; NaN where the model did not make them.
        latent_mask: True for the coordinates of z that datasets of this size have.
    """

    model: posterity.Model
    datasets: Dataset
    held_out: Dataset
    z: Float[Array, "dataset latent"]
    latent_mask: Bool[Array, " latent"]

    @property
    def active(self) -> np.ndarray:
        """Indices of the coordinates of z that there are."""
        return np.flatnonzero(np.asarray(self.latent_mask))

    def first(self, number: int) -> "TestSet":
        """The same with fewer datasets."""
        datasets, held_out, z = jax.tree.map(lambda leaf: leaf[:number], (self.datasets, self.held_out, self.z))
        return self._replace(datasets=datasets, held_out=held_out, z=z)


def make_test_set(
    simulator: posterity.Simulator, task: Task, num_datasets: int = NUM_DATASETS, stream: DatasetStream | None = None
) -> TestSet:
    """The test datasets of a task: numbers of rows uniform on `ROWS`, the same at every call.

    Args:
        simulator: Of the model.
        task: Size of the datasets.
        num_datasets: How many.
        stream: Where they come from; the model itself if None.
    """
    source, model = stream or posterity.Simulated(), simulator.model
    low, high = ROWS
    plates = model.plate_masks(dict.fromkeys(model.capacity, task.dims))

    def one(rng_key: Array) -> tuple[Dataset, Dataset, Array]:
        key_rows, key_draw = random.split(rng_key)
        num_rows = random.randint(key_rows, (), low, high + 1)
        whole, z = source.draw(simulator, key_draw, jnp.ones(high + NUM_HELD_OUT, bool), plates)
        z = jnp.full(model.space.size, jnp.nan) if z is None else z
        row_mask = jnp.arange(high) < num_rows
        seen = {
            name: jnp.where(jnp.reshape(row_mask, (-1,) + (1,) * (array.ndim - 1)), array[:high], 0)
            for name, array in whole.values.items()
        }
        new = {name: array[high:] for name, array in whole.values.items()}
        return Dataset(seen, row_mask, plates), Dataset(new, jnp.ones(NUM_HELD_OUT, bool), plates), z

    datasets, held_out, z = jit(vmap(one))(random.split(random.key(SEED), num_datasets))
    return TestSet(model, datasets, held_out, z, model.space.mask(plates))
