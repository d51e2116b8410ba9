"""Base noise: of the laws it claims, one stream for each dataset, and as many draws as were asked for."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from posterity.amortized.families.noise import NUM_BLOCKS, base_noise, num_wider
from posterity.runtime.keys import dataset_generator, dataset_words


def noise_of(name, num_draws=1000, size=3, seed=0):
    return base_noise(dataset_generator(seed, dataset_words(name, 0), "draws"), num_draws, size, 3, 2)


@pytest.mark.parametrize("num_draws", [1, 4, 1000, 1001])
def test_shapes_and_order(num_draws):
    noise, wider = noise_of("Leeds", num_draws), num_wider(num_draws)
    total = len(noise.normal)
    assert total % NUM_BLOCKS == 0 and wider % NUM_BLOCKS == 0
    assert num_draws <= total - wider < num_draws + NUM_BLOCKS
    assert noise.uniform.shape == (total, 3)
    assert len(noise.order) == len(set(noise.order.tolist())) == num_draws + wider
    assert set(noise.order.tolist()) <= set(range(total))
    assert np.sum(noise.stretch[noise.order] < 0.0) == num_draws and np.sum(noise.stretch >= 0.0) == wider
    blocks = np.reshape(noise.stretch >= 0.0, (NUM_BLOCKS, -1))
    assert (blocks.sum(axis=1) == wider // NUM_BLOCKS).all()
    quarters = np.floor(NUM_BLOCKS * noise.uniform[:, 0]).reshape(NUM_BLOCKS, -1)
    assert (quarters == np.arange(NUM_BLOCKS)[:, None]).all()


def of_q(noise):
    return noise.uniform[noise.stretch < 0.0]


def test_the_first_uniform_numbers_of_q_lie_one_in_each_interval():
    first = of_q(noise_of("Leeds"))[:, 0]
    within = 1000.0 * first.astype(float) - np.arange(1000)
    assert (np.abs(within - 0.5) <= 0.5 + 1e-3).all()  # float32 rounds to 6e-5 of an interval
    assert (np.diff(first) > 0.0).all()
    assert 0.0 < first[0] < first[-1] < 1.0


def test_the_other_uniform_numbers_of_q_do_so_in_orders_of_their_own():
    """A correlation of 1000 random pairs stays below 4.5 standard errors but for 7e-6 of all keys."""
    uniform = of_q(noise_of("Leeds"))
    within = 1000.0 * np.sort(uniform.astype(float), axis=0) - np.arange(1000)[:, None]
    assert (np.abs(within - 0.5) <= 0.5 + 1e-3).all()
    assert (np.abs(np.corrcoef(uniform.T) - np.eye(3)) < 4.5 / np.sqrt(1000)).all()


def test_numbers_follow_their_laws():
    """Five Kolmogorov-Smirnov tests at 1e-4: a false alarm in 5e-4 of all keys, were this one not fixed."""
    noise = noise_of("Leeds", 4000)
    assert all(stats.kstest(column, "norm").pvalue > 1e-4 for column in noise.normal.T)
    assert all(stats.kstest(column, "uniform").pvalue > 1e-4 for column in of_q(noise)[:, 1:].T)


def test_each_dataset_and_each_seed_has_its_own_and_always_the_same():
    """A correlation of 4000 independent pairs stays below 4.5 standard errors but for 7e-6 of all keys."""
    noise, others = noise_of("Leeds", 4000), [noise_of("York", 4000), noise_of("Leeds", 4000, seed=1)]
    for part, again in zip(noise, noise_of("Leeds", 4000), strict=True):
        assert_array_equal(part, again)
    for other in others:
        for column, others_column in zip(noise.normal.T, other.normal.T, strict=True):
            assert abs(np.corrcoef(column, others_column)[0, 1]) < 4.5 / np.sqrt(4000)
        scales = noise.uniform[noise.order, 0], other.uniform[other.order, 0]
        assert abs(np.corrcoef(*scales)[0, 1]) < 4.5 / np.sqrt(4000)
