"""Gaussian families against SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from amortized.family_cases import CONTEXT, MASKS, NUM_ROWS, draws, log_probs, trained
from jax import random
from numpy.testing import assert_allclose
from scipy import stats

from posterity.amortized.families import FAMILIES, DiagonalGaussian, FullGaussian, StandardizedFamily
from posterity.amortized.families.heads import positive_scale
from posterity.runtime.errors import InputError

GAUSSIANS = ["diagonal", "full", "standardized"]
LOC = np.array([0.3, -1.0, 2.0, 0.1], np.float32)
SCALE_TRIL = np.array([[0.5, 0, 0, 0], [1.0, 2.0, 0, 0], [-0.7, 0.4, 0.8, 0], [0.2, -1.5, 0.6, 1.1]], np.float32)
SOME_ACTIVE = pytest.mark.parametrize(
    "mask",
    [mask for mask in MASKS.values() if mask.any()],
    ids=[n for n, mask in MASKS.items() if mask.any()],
)


def moments(case, mask):
    """Mean and covariance over the active latents, from the parameters of q."""
    q = trained(case)(CONTEXT, jnp.asarray(mask))
    inner = q.posterior if case == "standardized" else q
    tril = np.diag(inner.scale) if case == "diagonal" else np.asarray(inner.scale_tril)
    loc = np.asarray(inner.loc)
    if case == "standardized":
        loc, tril = np.asarray(q.loc + q.scale * loc), np.asarray(q.scale)[:, None] * tril
    return loc[mask], tril[np.ix_(mask, mask)] @ tril[np.ix_(mask, mask)].T


@pytest.mark.parametrize("case", GAUSSIANS)
@SOME_ACTIVE
def test_log_prob_is_that_of_scipy(case, mask):
    zs = np.asarray(2.0 * random.normal(random.key(0), (NUM_ROWS, len(mask))))
    mean, covariance = moments(case, mask)
    expected = stats.multivariate_normal(mean, covariance).logpdf(zs[:, mask])
    assert_allclose(log_probs(trained(case), mask, zs), expected, rtol=2e-4, atol=2e-4)


@SOME_ACTIVE
def test_full_gaussian_drops_rows_and_columns(mask):
    """The density over the active latents S is N(loc_S, L_SS L_SS'), with numbers of our own."""
    z = np.array([1.0, 0.5, -0.5, 2.0], np.float32)
    tril = SCALE_TRIL[np.ix_(mask, mask)]
    expected = stats.multivariate_normal(LOC[mask], tril @ tril.T).logpdf(z[mask])
    q = FullGaussian(jnp.asarray(LOC), jnp.asarray(SCALE_TRIL), jnp.asarray(mask))
    assert_allclose(q.log_prob(jnp.asarray(z)), expected, rtol=1e-5)


def test_diagonal_gaussian_is_a_product(mask=MASKS["gap"]):
    z = np.array([1.0, 0.5, -0.5, 2.0], np.float32)
    scale = np.diagonal(SCALE_TRIL)
    expected = stats.norm.logpdf(z, LOC, scale)[mask].sum()
    q = DiagonalGaussian(jnp.asarray(LOC), jnp.asarray(scale), jnp.asarray(mask))
    assert_allclose(q.log_prob(jnp.asarray(z)), expected, rtol=1e-5)


@pytest.mark.parametrize("case", GAUSSIANS)
@SOME_ACTIVE
def test_draws_have_the_moments(case, mask):
    """Each of at most 14 moments within 5 standard errors: 1 false alarm in 10^5, were the keys not fixed."""
    blocks = [draws(trained(case), mask, key).z for key in random.split(random.key(1), 16)]
    z = np.concatenate(blocks).astype(np.float64)[:, mask]
    num_samples = len(z)
    mean, covariance = moments(case, mask)
    variances = np.diagonal(covariance)
    mean_error = np.sqrt(variances / num_samples)
    covariance_error = np.sqrt((np.outer(variances, variances) + covariance**2) / num_samples)
    assert (np.abs(z.mean(axis=0) - mean) < 5.0 * mean_error).all()
    centred = z - mean
    assert (np.abs(centred.T @ centred / num_samples - covariance) < 5.0 * covariance_error).all()


def test_full_covariance_is_full():
    """Every pair of latents is correlated, or the tests above would also pass for a diagonal family."""
    _, covariance = moments("full", MASKS["all"])
    assert (np.abs(covariance) > 1e-3).all()


def test_standardized_is_a_change_of_units():
    family = trained("full")
    loc, scale = jnp.asarray([1.0, 2.0, 3.0, 4.0]), jnp.asarray([0.1, 1.0, 10.0, 2.0])
    mask = MASKS["gap"]
    v = np.array([0.5, 0.0, -1.0, 0.3], np.float32)
    got = StandardizedFamily(family, loc, scale)(CONTEXT, jnp.asarray(mask)).log_prob(loc + scale * v)
    expected = family(CONTEXT, jnp.asarray(mask)).log_prob(jnp.asarray(v)) - np.log(0.1 * 10.0 * 2.0)
    assert_allclose(got, expected, rtol=1e-5)


def test_scales_are_one_at_zero_and_stay_positive():
    raw = jnp.asarray([-1e4, -20.0, -1.0, 0.0, 1.0, 1e4])
    scale = np.asarray(positive_scale(raw))
    assert scale[3] == 1.0
    assert_allclose(scale[[0, -1]], [1e-6, 1e4], rtol=1e-3)
    assert (np.diff(scale) > 0.0).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_families_refuse_empty_sizes(name):
    with pytest.raises(InputError, match="`latent_size` must be at least 1; got 0"):
        FAMILIES[name](0, 3, key=random.key(0))
    with pytest.raises(InputError, match="`context_size` must be at least 1; got 0"):
        FAMILIES[name](2, 0, key=random.key(0))
