"""A built-in model with masked plate entries is the same model built without them."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from model.pieces import garbage
from numpy.testing import assert_allclose, assert_array_equal
from numpyro.infer.util import potential_energy

from posterity.model.builtin import MODELS
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.model.read import read_model
from posterity.simulation.builtin import builtin_simulator

NUM_ROWS, PADDED_ROWS, CAPACITY = 6, 10, 4
SMALL_SIZES = (1, 3)
OPTIONS = {
    "categorical_regression": {"num_classes": 3, "temperature": 0.5},
    "neural_regression": {"hidden_size": 3, "num_layers": 2},
    "neural_classification": {"hidden_size": 3, "activation": "relu", "num_classes": 3},
}


class Case(NamedTuple):
    """A model at capacity, and for each size the numbers of the masked and of the small model."""

    model: Model
    by_size: Mapping[int, Mapping[str, Any]]


@pytest.fixture(scope="module", params=MODELS)
def case(request) -> Case:
    entry = MODELS[request.param]
    options = OPTIONS.get(request.param, {})
    model = entry.read(CAPACITY, **options)
    function = entry.with_options(options)
    small = {size: read_model(function, entry.example(size)) for size in SMALL_SIZES}  # no plate varies
    rng = np.random.default_rng(4)
    z = jnp.asarray(rng.normal(0.0, 0.7, model.space.size), jnp.float32)
    values = {
        a.name: jnp.asarray(
            rng.integers(0, 2, (NUM_ROWS, *a.shape)) if a.dtype == "int32" else rng.normal(size=(NUM_ROWS, *a.shape)),
            a.dtype,
        )
        for a in model.arguments
    }
    compute = jax.jit(lambda z, values: {n: _numbers(model, s, n, z, values) for n, s in small.items()})
    return Case(model, jax.device_get(compute(z, values)))


def _dirty(model: Model, size: int, values: Mapping[str, jax.Array]) -> Dataset:
    """Rows padded and columns masked, with garbage where a mask must be obeyed."""
    row_mask = jnp.arange(PADDED_ROWS) < NUM_ROWS
    padded = {}
    for argument in model.arguments:
        array = values[argument.name]
        for axis, plate in enumerate(argument.plates, start=1):
            if plate is not None:
                kept, masked = jnp.split(array, [size], axis=axis)
                array = jnp.concatenate([kept, garbage(masked)], axis=axis)
        padding = jnp.zeros((PADDED_ROWS - NUM_ROWS, *array.shape[1:]), array.dtype)
        padded[argument.name] = jnp.concatenate([array, garbage(padding)])
    return Dataset(padded, row_mask, model.plate_masks(dict.fromkeys(model.capacity, size)))


def _cut(model: Model, size: int, values: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    cut = {}
    for argument in model.arguments:
        index = tuple(slice(size) if plate else slice(None) for plate in (None, *argument.plates))
        cut[argument.name] = values[argument.name][index]
    return cut


def _small_z(model: Model, small: Model, size: int, z: jax.Array) -> jax.Array:
    latents = model.space.constrain(z)
    for site in model.space.sites:
        latents[site.name] = latents[site.name][
            tuple(slice(size) if p in model.capacity else slice(None) for p in site.plates)
        ]
    return small.space.unconstrain(latents)


def _numbers(model: Model, small: Model, size: int, z: jax.Array, values: Mapping[str, jax.Array]) -> dict[str, Any]:
    dirty = _dirty(model, size, values)
    mask = model.space.mask(dirty.plate_masks)
    z_dirty = jnp.where(mask, z, jnp.nan)
    z_small = _small_z(model, small, size, z)
    exact = Dataset(_cut(model, size, values), jnp.ones(NUM_ROWS, bool), {})

    def joint(z: jax.Array, of: Model, dataset: Dataset) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        log_prior, rows = of.log_prior_and_likelihood(z, dataset)
        return log_prior + jnp.sum(rows), (log_prior, rows)

    unconstrained = {s.name: s.bijector.inv(small.space.constrain(z_small)[s.name]) for s in small.space.sites}
    return {
        "mask": mask,
        "masked": jax.value_and_grad(functools.partial(joint, of=model, dataset=dirty), has_aux=True)(z_dirty),
        "small": jax.value_and_grad(functools.partial(joint, of=small, dataset=exact), has_aux=True)(z_small),
        "log_joint": model.log_joint(z_dirty, dirty),
        "numpyro": -potential_energy(small.function, (), exact.values, unconstrained),
    }


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_masked_model_is_the_small_model(case, size):
    """Prior, rows, log joint and gradient; NaN in masked z, NaN and 1e6 in masked columns and padded rows."""
    numbers = case.by_size[size]
    (joint, (log_prior, rows)), gradient = numbers["masked"]
    (small_joint, (small_prior, small_rows)), small_gradient = numbers["small"]
    assert_allclose(log_prior, small_prior, rtol=1e-5, atol=1e-5)
    assert_allclose(rows[:NUM_ROWS], small_rows, rtol=1e-4, atol=1e-4)
    assert_array_equal(rows[NUM_ROWS:], 0.0)
    assert_allclose(joint, small_joint, rtol=1e-5, atol=1e-4)
    assert_array_equal(numbers["log_joint"], joint)
    assert_array_equal(gradient[~numbers["mask"]], 0.0)
    assert_allclose(gradient[numbers["mask"]], small_gradient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_log_joint_is_that_of_numpyro(case, size):
    assert_allclose(case.by_size[size]["log_joint"], case.by_size[size]["numpyro"], rtol=2e-5, atol=2e-4)


def test_mask_keeps_the_first_entries(case):
    for size, numbers in case.by_size.items():
        active = {s.name: s for s in case.model.space.sites}
        start = 0
        for name, site in active.items():
            block = numbers["mask"][start : start + case.model.space.site_size(name)].reshape(site.shape)
            expected = np.ones(site.shape, bool)
            for axis, plate in enumerate(site.plates):
                if plate in case.model.capacity:
                    keep = np.arange(site.shape[axis]) < size
                    expected &= np.moveaxis(
                        np.broadcast_to(keep, (*np.delete(site.shape, axis), site.shape[axis])), -1, axis
                    )
            assert_array_equal(block, expected)
            start += block.size
        assert start == numbers["mask"].size


# ------------------------------------------------------------------------------------------ simulation

SIZE, NUM_DATASETS = 2, 4000


@pytest.fixture(scope="module", params=["gaussian_mean", "linear_regression"])
def draws(request) -> tuple[str, Model, Dataset, np.ndarray]:
    """Many datasets with 2 of 4 plate entries and 3 of 5 rows."""
    entry = MODELS[request.param]
    simulator = builtin_simulator(entry, (4, 16), (1, CAPACITY), covariates="normal", check=False)
    model = simulator.model
    masks = model.plate_masks(dict.fromkeys(model.capacity, SIZE))
    row_mask = jnp.arange(5) < 3
    simulate = jax.jit(jax.vmap(lambda key: simulator.simulate(key, row_mask, masks)))
    datasets, z = jax.device_get(simulate(random.split(random.key(8), NUM_DATASETS)))
    return request.param, model, datasets, z


def test_simulation_leaves_masked_entries_at_zero(draws):
    _, model, datasets, z = draws
    mask = np.asarray(model.space.mask(model.plate_masks(dict.fromkeys(model.capacity, SIZE))))
    assert_array_equal(z[:, ~mask], 0.0)
    assert np.all(z[:, mask] != 0.0)
    for argument in model.arguments:
        values = datasets.values[argument.name]
        assert_array_equal(values[:, 3:], 0.0)
        if argument.plates:
            assert_array_equal(values[..., SIZE:], 0.0)
            values = values[..., :SIZE]
        assert np.all(values[:, :3] != 0.0)


def _assert_mean(samples: np.ndarray, expected: float) -> None:
    """Within 4.9 standard errors: one false alarm in a million."""
    error = np.std(samples) / np.sqrt(len(samples))
    assert abs(np.mean(samples) - expected) < 4.9 * error


def test_simulated_moments(draws):
    """Closed forms of the model with 2 entries: masked ones must leave no trace in the data."""
    name, _, datasets, _ = draws
    if name == "gaussian_mean":
        x = datasets.values["x"].astype(np.float64)
        for dim in range(SIZE):
            _assert_mean(x[:, 0, dim], 0.0)
            _assert_mean(x[:, 0, dim] ** 2, 2.0)  # prior 1 + noise 1
            _assert_mean(x[:, 0, dim] * x[:, 2, dim], 1.0)  # rows share mu
        _assert_mean(x[:, 1, 0] * x[:, 1, 1], 0.0)  # dimensions share nothing
    else:
        x, y = (datasets.values[k].astype(np.float64) for k in ("x", "y"))
        _assert_mean(y[:, 0], 0.0)
        _assert_mean(y[:, 0] ** 2, SIZE + 2.0)  # w'x, b and E sigma^2 = 1
        _assert_mean(y[:, 0] * y[:, 1], 1.0)  # rows share b
        _assert_mean(y[:, 0] * y[:, 1] * np.sum(x[:, 0] * x[:, 1], axis=1), float(SIZE))  # and w
        _assert_mean(x[:, 0, 0] ** 2, 1.0)


def test_simulated_latents_follow_the_prior(draws):
    name, model, _, z = draws
    for coordinate in np.flatnonzero(z[0])[: SIZE + 1]:
        _assert_mean(z[:, coordinate], 0.0)
        _assert_mean(z[:, coordinate] ** 2, 1.0)
    if name == "linear_regression":
        sigma = np.asarray(jax.vmap(model.space.constrain)(z)["sigma"], np.float64)
        _assert_mean(sigma, np.sqrt(2 / np.pi))
        _assert_mean(sigma**2, 1.0)
