"""Streams of training datasets: the paper's chi. Forward KL needs the model's own, reverse KL takes any."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from posterity.model.dataset import Dataset
from posterity.model.space import masked_values
from posterity.runtime.errors import InputError
from posterity.runtime.plain import told_arrays
from posterity.simulation.covariates import z_score
from posterity.simulation.simulator import Simulator

__all__ = ["STREAMS", "DatasetStream", "OtherModel", "RealRows", "Simulated", "ZScoredTables", "draw_sizes"]

PlateMasks = Mapping[str, Bool[Array, " _"]]
Draw = tuple[Dataset, Float[Array, " latent"] | None]


@runtime_checkable
class DatasetStream(Protocol):
    """Draws one dataset, with the latents that made it if they are a draw of the problem's joint."""

    has_latents: bool

    def draw(
        self, simulator: Simulator, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> Draw:
        """One dataset of the given size."""
        ...


@dataclasses.dataclass(frozen=True)
class Simulated:
    """Datasets simulated from prior and likelihood: the default, and the only stream with latents."""

    has_latents = True

    def draw(
        self, simulator: Simulator, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> Draw:
        """One draw of the joint."""
        return simulator.simulate(rng_key, row_mask, plate_masks)


@dataclasses.dataclass(frozen=True)
class ZScoredTables:
    """Simulated datasets whose real-valued targets are z-scored, as `infer` does with real tables.

    A standard normal prior on many weights says that targets vary far more than a z-scored one can, so real tables
    lie in the tail of what the prior simulates. Here each latent site is pulled towards zero by a random factor
    first, so that signal and noise come in all proportions, and the target is scaled to sd 1 afterwards. The
    latents are then no posterior draw any more: for reverse KL only.
    """

    has_latents = False

    def draw(
        self, simulator: Simulator, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> Draw:
        """One z-scored dataset."""
        key_covariates, key_prior, key_data, key_pull = random.split(rng_key, 4)
        covariates = simulator.draw_covariates(key_covariates, row_mask, plate_masks)
        z = simulator.model.sample_prior(key_prior, covariates, row_mask.shape[0])
        pulls = random.uniform(key_pull, (len(simulator.model.space.sites),), minval=-1.0, maxval=0.0)
        factors = jnp.concatenate(
            [
                jnp.full(simulator.model.space.site_size(site.name), 10.0**pull)
                for site, pull in zip(simulator.model.space.sites, pulls, strict=True)
            ]
        )
        z = jnp.where(simulator.model.space.mask(plate_masks), factors * z, 0.0)
        dataset = simulator.model.simulate_data(key_data, z, covariates, row_mask, plate_masks)
        values = dict(dataset.values)
        for argument in simulator.model.data:
            if argument.kind == "real":
                columns = jnp.reshape(values[argument.name], (row_mask.shape[0], -1))
                values[argument.name] = jnp.reshape(z_score(columns, row_mask), values[argument.name].shape)
        values |= masked_values(values, simulator.model.data, row_mask, plate_masks)
        return Dataset(values, row_mask, dict(plate_masks)), None


@dataclasses.dataclass(frozen=True)
class OtherModel:
    """Datasets simulated from another problem with the same arguments: training under misspecification.

    Attributes:
        other: The problem that simulates.
    """

    other: Simulator
    has_latents = False

    def draw(
        self, simulator: Simulator, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> Draw:
        """One dataset of the other model."""
        dataset, _ = self.other.simulate(rng_key, row_mask, plate_masks)
        return Dataset(
            {a.name: dataset.values[a.name] for a in simulator.model.arguments}, row_mask, dict(plate_masks)
        ), None


@dataclasses.dataclass(frozen=True)
class RealRows:
    """Datasets made of rows drawn with replacement from one real table: unlabelled real data as the stream.

    Attributes:
        rows: Argument name -> array `(rows, ...)` at the capacity of every plate.
    """

    rows: Mapping[str, Array]
    has_latents = False

    def __repr__(self) -> str:
        return f"RealRows({told_arrays(self.rows)})"

    def draw(
        self, simulator: Simulator, rng_key: PRNGKeyArray, row_mask: Bool[Array, " obs"], plate_masks: PlateMasks
    ) -> Draw:
        """One resampled dataset."""
        num_rows = next(iter(self.rows.values())).shape[0]
        chosen = random.randint(rng_key, row_mask.shape, 0, num_rows)
        values = {name: array[chosen] for name, array in self.rows.items()}
        return Dataset(
            masked_values(values, simulator.model.arguments, row_mask, plate_masks), row_mask, dict(plate_masks)
        ), None


STREAMS: dict[str, Any] = {"simulated": Simulated, "tables": ZScoredTables}


def draw_sizes(
    simulator: Simulator, rng_key: PRNGKeyArray, low: int, high: int
) -> tuple[Int[Array, ""], dict[str, Int[Array, ""]]]:
    """Numbers of rows (log-uniform on `low..high`) and of entries of each plate (uniform) for one dataset."""
    key_rows, key_plates = random.split(rng_key)
    log_rows = random.uniform(key_rows, (), minval=jnp.log(low - 0.5), maxval=jnp.log(high + 0.5))
    num_rows = jnp.clip(jnp.round(jnp.exp(log_rows)).astype(jnp.int32), low, high)
    keys = random.split(key_plates, max(len(simulator.envelope.plates), 1))
    sizes = {
        plate: random.randint(key, (), bounds[0], bounds[1] + 1)
        for key, (plate, bounds) in zip(keys, simulator.envelope.plates.items(), strict=False)
    }
    return num_rows, sizes


def check_stream(objective_needs_latents: bool, stream: DatasetStream) -> None:
    """Raises InputError where an objective that learns from joint draws meets a stream without latents."""
    if objective_needs_latents and not stream.has_latents:
        raise InputError(
            f"forward KL learns from joint draws (z, D), which the stream {type(stream).__name__} has not: use "
            "ReverseKL with it, or the Simulated stream"
        )
