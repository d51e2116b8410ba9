"""The wider share: its densities are those of its draws, for every family that q may be of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from amortized.family_cases import BUILDS, CONTEXT, MASKS, trained
from numpy.testing import assert_allclose
from scipy import stats

from posterity.amortized.families.noise import base_noise
from posterity.amortized.families.wider import log_wider, log_wider_scales, stretched

NUM_DRAWS = 9000


def wide_draws(q, seed=0):
    """Draws of q and of its wider share, their log densities as q makes them, and those of the mixture over q."""
    noise = base_noise(np.random.default_rng(seed), NUM_DRAWS, q.mask.shape[0], q.num_uniform, q.num_scores)
    found = jax.tree.map(np.asarray, jax.jit(lambda q: q.from_noise(noise))(q))
    wider = noise.stretch >= 0.0
    share = wider.mean()
    return found, np.logaddexp(np.log1p(-share), np.log(share) + found.log_wider), wider


def check_mixture(q, log_prob):
    """Its densities are those of q, and over the mixture's draws q / mixture has mean 1: five standard errors."""
    found, over_q, wider = wide_draws(q)
    assert 0.09 < wider.mean() < 0.11
    assert_allclose(found.log_q, log_prob(found.z), rtol=1e-3, atol=2e-2)
    ratios = np.exp(-over_q)
    assert ratios.max() <= 1.0 / (1.0 - wider.mean()) + 1e-6
    assert abs(ratios.mean() - 1.0) < 5.0 * ratios.std() / np.sqrt(len(ratios))
    # The same for the wider draws alone, whose own density is q's times exp(log_wider).
    inverse = np.exp(-found.log_wider[wider].astype(float))
    capped = np.minimum(inverse, 1.0)  # of q's mass, the part where the wider draws are the denser
    expected = np.mean(np.minimum(1.0, np.exp(found.log_wider[~wider].astype(float))))
    assert abs(capped.mean() - expected) < 5.0 * 0.5 / np.sqrt(wider.sum())


@pytest.mark.parametrize("case", BUILDS)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_trained_families(case, mask):
    q = trained(case)(CONTEXT, jnp.asarray(mask))
    if not np.any(mask):
        return
    check_mixture(q, jax.jit(jax.vmap(q.log_prob)))


def test_stretched_noise_follows_its_density():
    """Of one latent: Kolmogorov-Smirnov against a half of three widths and a half of one; 1 false alarm in 10^4."""
    noise = base_noise(np.random.default_rng(1), 40_000, 1)
    e = np.asarray(stretched(noise, jnp.ones(1, bool)))[noise.stretch >= 0.0, 0]
    widths, parts = np.array([1.5, 3.0, 10.0, 3.0]), np.array([1.0, 1.0, 1.0, 3.0]) / 6.0
    assert stats.kstest(e, lambda x: stats.norm.cdf(x[..., None] / widths) @ parts).pvalue > 1e-4
    density = stats.norm.pdf(e[:, None], scale=widths) @ parts
    found = log_wider(jnp.asarray(e[:, None]), jnp.ones(1, bool))
    assert_allclose(found, np.log(density) - stats.norm.logpdf(e), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_scales", [1, 3])
def test_spread_scales_follow_their_density(num_scales):
    """The mean of q / wider over wider draws is the mass of q within reach; so are its parts; five standard errors."""
    noise = base_noise(np.random.default_rng(2), 40_000, 1, num_scales, num_scales)
    scores = stats.norm.ppf(noise.uniform[noise.stretch >= 0.0].astype(float))
    over = np.exp(-np.asarray(log_wider_scales(jnp.asarray(scores)), float))
    for low, high in ((-5.0, 5.0), (-5.0, -1.0), (0.0, 0.4), (1.5, 5.0)):
        inside = np.where((scores[:, 0] > low) & (scores[:, 0] < high), over, 0.0)
        mass = stats.norm.cdf(high) - stats.norm.cdf(low)
        assert abs(inside.mean() - mass) < 5.0 * inside.std() / np.sqrt(len(inside))


def test_a_posterior_of_scales_alone_has_no_other_latent_to_stretch():
    found = log_wider(jnp.zeros((3, 2)), jnp.zeros(2, bool), jnp.asarray([0.0, 1.0, -jnp.inf]))
    assert_allclose(found, [0.0, 1.0, -np.inf])
