"""Streams: sizes inside the envelope, what each stream promises, and which objective may use it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap

from posterity import (
    MODELS,
    Envelope,
    InputError,
    OtherModel,
    RealRows,
    Simulated,
    ZScoredTables,
    build_simulator,
    builtin_simulator,
)
from posterity.model.dataset import bucket_sizes
from posterity.training.loop import row_ranges
from posterity.training.stream import check_stream, draw_sizes


@pytest.fixture(scope="module")
def simulator():
    return builtin_simulator(MODELS["linear_regression"], (4, 32), (1, 3), check=False)


def draw_many(simulator, stream, num=200, rows=32, features=3):
    masks = simulator.model.plate_masks({"features": features})
    keys = random.split(random.key(0), num)
    return jax.jit(vmap(lambda key: stream.draw(simulator, key, jnp.arange(32) < rows, masks)))(keys)


def test_sizes_stay_inside_and_reach_the_ends(simulator):
    rows, sizes = vmap(lambda key: draw_sizes(simulator, key, 5, 9))(random.split(random.key(1), 2000))
    assert set(np.unique(rows)) == set(range(5, 10))
    assert set(np.unique(sizes["features"])) == {1, 2, 3}


def test_rows_are_log_uniform(simulator):
    rows, _ = vmap(lambda key: draw_sizes(simulator, key, 4, 400))(random.split(random.key(2), 4000))
    # Half of them lie below sqrt(4 * 400) = 40; five standard errors of a share of one half.
    assert abs(np.mean(np.asarray(rows) <= 40) - 0.5) < 5 * 0.5 / np.sqrt(4000)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 3), (16, 128), (8, 1024), (100, 110)])
def test_row_ranges_cover_the_envelope_without_overlap(low, high):
    ranges = row_ranges(low, high)
    covered = [n for a, b in ranges for n in range(a, b + 1)]
    assert covered == list(range(low, high + 1))
    assert [b for _, b in ranges] == list(bucket_sizes(low, high))
    assert len(ranges) <= 3


def test_simulated_has_latents_that_explain_the_data(simulator):
    datasets, z = draw_many(simulator, Simulated())
    w, b = z[:, :3], z[:, 3]
    residual = datasets.values["y"] - jnp.einsum("dni,di->dn", datasets.values["x"], w) - b[:, None]
    sigma = jnp.exp(z[:, 4])
    ratio = np.asarray(jnp.std(residual, axis=1) / sigma)
    # The sd of 32 residuals is within 1 +- 0.125 (one standard error) of sigma; the mean of 200 within 0.05.
    assert abs(ratio.mean() - 1.0) < 0.05


def test_z_scored_tables_have_unit_targets_and_all_signal_shares(simulator):
    datasets, z = draw_many(simulator, ZScoredTables(), rows=20)
    assert z is None
    y = np.asarray(datasets.values["y"])
    assert np.allclose(y[:, :20].mean(axis=1), 0, atol=1e-5)
    assert np.allclose(y[:, :20].std(axis=1), 1, atol=1e-4)
    assert not y[:, 20:].any()
    x = np.asarray(datasets.values["x"])[:, :20]
    explained = [1 - np.linalg.lstsq(a, c, rcond=None)[1].sum() / 20 for a, c in zip(x, y[:, :20], strict=True)]
    assert np.quantile(explained, 0.1) < 0.4
    assert np.quantile(explained, 0.9) > 0.8


def test_other_model_simulates_and_real_rows_resamples(simulator):
    other = builtin_simulator(MODELS["linear_regression_known_noise"], (4, 32), (1, 3), check=False, noise_sd=0.01)
    datasets, z = draw_many(simulator, OtherModel(other), num=20)
    assert z is None
    assert set(datasets.values) == {"x", "y"}
    rows = {"x": jnp.arange(12.0).reshape(4, 3), "y": jnp.arange(4.0)}
    datasets, z = draw_many(simulator, RealRows(rows), num=20, rows=10)
    assert z is None
    x, y = np.asarray(datasets.values["x"])[:, :10], np.asarray(datasets.values["y"])[:, :10]
    assert np.array_equal(x[..., 0], 3 * y)  # rows stay together
    assert set(np.unique(y)) == {0.0, 1.0, 2.0, 3.0}


def test_forward_kl_refuses_streams_without_latents():
    with pytest.raises(InputError, match=r"forward KL learns from joint draws.*ZScoredTables has not"):
        check_stream(True, ZScoredTables())
    check_stream(False, ZScoredTables())
    check_stream(True, Simulated())


def test_sizes_without_variable_plates():
    simulator = build_simulator(
        MODELS["gaussian_mean"].model, {"x": np.zeros((4, 2))}, Envelope((2, 8)), covariates="normal", check=False
    )
    _, sizes = draw_sizes(simulator, random.key(0), 2, 8)
    assert sizes == {}
