"""What each row says at each draw: log likelihoods and replicated data, in turns that bound the memory."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PRNGKeyArray

from posterity.model.dataset import SMALLEST_BUCKET, Dataset, bucket_for, num_rows_of
from posterity.model.intake import pad_dataset
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit
from posterity.runtime.errors import InputError
from posterity.runtime.precision import precision_of

__all__ = ["VALUES_AT_ONCE", "at_capacity", "expected_counts", "padded", "replicated_data", "row_log_likelihood"]

VALUES_AT_ONCE = 1_000_000
"""Rows times draws that are computed together."""

Latents = Mapping[str, np.ndarray]


def row_log_likelihood(model: Model, draws: Latents, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Log likelihood of every row at every draw, in nats.

    Args:
        model: The model.
        draws: Latent site -> draws in its support, shape `(draw, *site_shape)`, active entries only.
        arrays: Argument -> array with rows first.

    Returns:
        Data argument -> float32 array `(draw, row)`, summed over what else the argument has along its rows.
    """
    model.require_rows("log likelihood by row")
    num_rows = num_rows_of(arrays)
    with precision_of(arrays):
        dataset = padded(model, arrays)
        return _in_turns(lambda latents, _: _log_likelihood(model, dataset, latents), model, draws, dataset, num_rows)


def replicated_data(
    model: Model, draws: Latents, arrays: Mapping[str, np.ndarray], rng_key: PRNGKeyArray
) -> dict[str, np.ndarray]:
    """One new dataset from the likelihood at every draw, at the covariates given.

    Args:
        model: The model.
        draws: Latent site -> draws in its support, shape `(draw, *site_shape)`, active entries only.
        arrays: Argument -> array with rows first; of data arguments only the shapes count.
        rng_key: Consumed here. Draw by draw, so that it does not matter how many are made together.

    Returns:
        Data argument -> array `(draw, row, ...)`. Counts are int64; float64 if one is infinite or NaN.
    """
    made = _drawn(_replicate, model, draws, arrays, rng_key)
    counts = [a.name for a in model.data if a.kind == "count"]
    return {name: _whole(values) if name in counts else values for name, values in made.items()}


def expected_counts(
    model: Model, draws: Latents, arrays: Mapping[str, np.ndarray], rng_key: PRNGKeyArray
) -> dict[str, np.ndarray]:
    """Mean of the likelihood of every row at every draw, for the counts whose likelihood knows its mean.

    Args:
        model: The model.
        draws: Latent site -> draws in its support, shape `(draw, *site_shape)`, active entries only.
        arrays: Argument -> array with rows first; of data arguments only the shapes count.
        rng_key: That of `replicated_data`: where one data site follows another, both see the same draws.

    Returns:
        Data argument -> float32 array `(draw, row, ...)`.
    """
    return _drawn(_count_means, model, draws, arrays, rng_key)


def padded(model: Model, arrays: Mapping[str, np.ndarray], num_rows: int | None = None) -> Dataset:
    """The dataset padded to a power of two of rows, so that few programs serve all sizes.

    Args:
        model: The model.
        arrays: Argument -> array with rows first.
        num_rows: Padded number of rows instead.
    """
    if model.whole:
        return pad_dataset(model, arrays, 1)
    return pad_dataset(model, arrays, num_rows or bucket_for(num_rows_of(arrays), [SMALLEST_BUCKET]))


def at_capacity(model: Model, draws: Latents) -> dict[str, np.ndarray]:
    """Draws with every plate at its largest size; entries that were not active hold what `constrain` makes of 0."""
    origins = model.space.constrain(jnp.zeros(model.space.size))
    full = {}
    for site in model.space.sites:
        values = np.asarray(draws[site.name])
        target = np.broadcast_to(np.asarray(origins[site.name]), (len(values), *site.shape)).copy()
        target[tuple(slice(size) for size in values.shape)] = values
        full[site.name] = target
    return full


@filter_jit
def _log_likelihood(model: Model, dataset: Dataset, latents: Mapping[str, Array]) -> dict[str, Array]:
    def one(at: Mapping[str, Array]) -> dict[str, Array]:
        sites = model.site_log_probs_at(at, dataset)
        num_rows = dataset.row_mask.shape[0]
        return {s.argument: jnp.sum(jnp.reshape(sites[s.name], (num_rows, -1)), axis=1) for s in model.data_sites}

    return vmap(one)(latents)


@filter_jit
def _replicate(
    model: Model, dataset: Dataset, latents: Mapping[str, Array], index: Array, rng_key: PRNGKeyArray
) -> dict[str, Array]:
    covariates = {a.name: dataset.values[a.name] for a in model.covariates}

    def one(at: Mapping[str, Array], which: Array) -> dict[str, Array]:
        key = random.fold_in(rng_key, which)
        made = model.simulate_data_at(key, at, covariates, dataset.row_mask, dataset.plate_masks)
        counts, _ = model.counts_at(key, at, covariates, dataset.row_mask.shape[0])
        return {a.name: made.values[a.name] for a in model.data} | counts

    return vmap(one)(latents, index)


@filter_jit
def _count_means(
    model: Model, dataset: Dataset, latents: Mapping[str, Array], index: Array, rng_key: PRNGKeyArray
) -> dict[str, Array]:
    covariates = {a.name: dataset.values[a.name] for a in model.covariates}

    def one(at: Mapping[str, Array], which: Array) -> dict[str, Array]:
        key = random.fold_in(rng_key, which)
        return model.counts_at(key, at, covariates, dataset.row_mask.shape[0])[1]

    return vmap(one)(latents, index)


def _drawn(
    function: Callable[..., dict[str, Array]],
    model: Model,
    draws: Latents,
    arrays: Mapping[str, np.ndarray],
    rng_key: PRNGKeyArray,
) -> dict[str, np.ndarray]:
    """What a function gives for all draws, without padded rows and entries."""
    model.require_rows("replicated data")
    num_rows = num_rows_of(arrays)
    try:
        with precision_of(arrays):
            dataset = padded(model, arrays)
            made = _in_turns(
                lambda latents, index: function(model, dataset, latents, index, rng_key),
                model,
                draws,
                dataset,
                num_rows,
            )
    except (NotImplementedError, TypeError, ValueError) as error:  # of a distribution of the user's own
        sites = ", ".join(f"'{site.name}'" for site in model.data_sites)
        raise InputError(
            f"model '{model.name}': new observations of {sites} cannot be drawn ({type(error).__name__}: "
            f"{str(error).strip() or 'its distribution has no sample()'}); the posterior itself does not need them"
        ) from error
    return {name: values[(..., *_active_axes(arrays[name]))] for name, values in made.items()}


def _in_turns(
    function: Callable[[dict[str, Array], Array], dict[str, Array]],
    model: Model,
    draws: Latents,
    dataset: Dataset,
    num_rows: int,
) -> dict[str, np.ndarray]:
    """Results of all draws, shape `(draw, row, ...)`, without the padded rows."""
    latents = at_capacity(model, draws)
    num_draws = len(next(iter(latents.values())))
    at_once = min(num_draws, max(1, VALUES_AT_ONCE // dataset.row_mask.shape[0]))
    results: dict[str, np.ndarray] = {}
    for start in range(0, num_draws, at_once):
        index = np.minimum(np.arange(start, start + at_once), num_draws - 1)  # one size, one program
        taken = {name: jnp.asarray(values[index]) for name, values in latents.items()}
        part = jax.device_get(function(taken, jnp.asarray(index)))
        count = min(at_once, num_draws - start)
        for name, values in part.items():
            if name not in results:
                results[name] = np.empty((num_draws, num_rows, *values.shape[2:]), values.dtype)
            results[name][start : start + count] = values[:count, :num_rows]
    return results


def _whole(values: np.ndarray) -> np.ndarray:
    """Counts as int64, where it holds them all."""
    values = values.astype(np.float64)
    return values.astype(np.int64) if np.all(np.abs(values) < 2.0**63) else values


def _active_axes(array: np.ndarray) -> tuple[slice, ...]:
    """Cuts the axes after the rows to the entries that the dataset has."""
    return (slice(None), *(slice(size) for size in array.shape[1:]))
