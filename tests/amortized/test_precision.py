"""The precision family: a factor for every symmetric matrix, the exact one where there is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity.amortized.families.precision import PrecisionGaussian, positive_cholesky


def symmetric(seed, size, shift):
    """A symmetric matrix with entries of order one; `shift` decides how definite it is."""
    a = np.random.default_rng(seed).normal(size=(size, size))
    return (a + a.T) / 2 + shift * np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("seed", range(3))
def test_factor_of_a_definite_matrix_is_cholesky(size, seed):
    a = np.random.default_rng(seed).normal(size=(size, 2 * size))
    matrix = a @ a.T / size + 0.1 * np.eye(size)
    assert_allclose(
        positive_cholesky(jnp.asarray(matrix, jnp.float32)), np.linalg.cholesky(matrix), rtol=2e-3, atol=1e-4
    )


def test_factor_of_nearly_collinear_columns_is_cholesky():
    """Correlation 0.99 between two of three columns: the smallest pivot is 0.02 and must not be bent."""
    matrix = np.array([[1.0, 0.99, 0.2], [0.99, 1.0, 0.25], [0.2, 0.25, 1.0]])
    assert_allclose(positive_cholesky(jnp.asarray(matrix, jnp.float32)), np.linalg.cholesky(matrix), atol=1e-3)


@pytest.mark.parametrize("shift", [-5.0, 0.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_indefinite_matrices_have_a_factor_with_finite_gradients(seed, shift):
    matrix = jnp.asarray(symmetric(seed, 6, shift), jnp.float32)
    factor = positive_cholesky(matrix)
    gradient = jax.grad(lambda m: jnp.sum(jnp.square(positive_cholesky(m))))(matrix)
    assert np.all(np.diagonal(factor) > 0)
    assert np.all(np.isfinite(factor))
    assert np.all(np.isfinite(gradient))
    assert np.array_equal(factor, np.tril(factor))


def test_linear_regression_posterior_is_a_plain_choice_of_its_inputs():
    """A = X'X / n + s^2 / n I, m = X'y / n and one common rate give the conjugate posterior."""
    rng = np.random.default_rng(0)
    n, s = 40, 0.5
    x = rng.normal(size=(n, 3))
    y = x @ [1.0, -2.0, 0.5] + s * rng.normal(size=n)
    q = PrecisionGaussian(
        jnp.asarray(x.T @ y / n, jnp.float32),
        jnp.asarray(x.T @ x / n + s**2 / n * np.eye(3), jnp.float32),
        jnp.full(3, np.sqrt(n) / s),
        jnp.ones(3, bool),
    )
    precision = np.eye(3) + x.T @ x / s**2
    draws = np.asarray(q.sample(random.key(0), 20_000))
    assert_allclose(q.loc, np.linalg.solve(precision, x.T @ y / s**2), rtol=1e-4)
    # Covariances from 20,000 draws are off by 1% (one standard error); five of them.
    assert_allclose(np.cov(draws.T), np.linalg.inv(precision), rtol=0.05, atol=0.05 / precision.max())
