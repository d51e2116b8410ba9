"""Objectives against closed forms: which divergence is it, and does its gradient vanish at the posterior?

Statistical tolerances are five standard errors: less than one false alarm in a million, and the keys are fixed.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose
from oracles import gaussian_kl, gaussian_mean_posterior

from posterity import MODELS, ForwardKL, InputError, ReverseKL, SymmetricKL, read_model
from posterity.amortized.families.full import FullGaussian
from posterity.amortized.objectives import OBJECTIVES

NUM_ROWS = 6
NOW = jnp.ones(())  # progress after any warm-up


@pytest.fixture(scope="module")
def model():
    return read_model(MODELS["gaussian_mean"].model, {"x": np.zeros((4, 2))})


@pytest.fixture(scope="module")
def dataset(model):
    return model.simulate_data(random.key(3), jnp.array([0.8, -0.5]), {}, jnp.ones(NUM_ROWS, bool), {})


@pytest.fixture(scope="module")
def exact(dataset):
    mean, covariance = gaussian_mean_posterior(np.asarray(dataset.values["x"]))
    return mean, covariance


def gaussian(mean, covariance):
    """q = N(mean, covariance)."""
    scale_tril = jnp.asarray(np.linalg.cholesky(covariance), jnp.float32)
    return FullGaussian(jnp.asarray(mean, jnp.float32), scale_tril, jnp.ones(len(mean), bool))


@pytest.fixture(scope="module")
def off(exact):
    """A q that is shifted, too wide in one direction and too narrow in another: its two KLs differ by half."""
    mean, covariance = exact
    return mean + 0.3 * np.sqrt(np.diag(covariance)), covariance @ np.diag([4.0, 0.5])


def log_evidence(dataset):
    """log p(D) of the Gaussian mean: each column is N(0, I + 11')."""
    x = np.asarray(dataset.values["x"], np.float64)
    covariance = np.eye(NUM_ROWS) + np.ones((NUM_ROWS, NUM_ROWS))
    log_det = np.linalg.slogdet(2 * math.pi * covariance)[1]
    return sum(-0.5 * (column @ np.linalg.solve(covariance, column) + log_det) for column in x.T)


def losses(objective, model, q, dataset, z, keys):
    @jax.jit
    def compute(q, dataset, z, keys):
        return vmap(lambda key, z: objective.loss(model, q, dataset, z, progress=NOW, rng_key=key))(keys, z)

    return np.asarray(compute(q, dataset, z, keys), np.float64)


def test_reverse_kl_is_kl_of_q_from_p_minus_log_evidence(model, dataset, exact, off, rng_key):
    values = losses(
        ReverseKL(num_samples=64),
        model,
        gaussian(*off),
        dataset,
        jnp.zeros((200, 2)),
        random.split(rng_key, 200),
    )
    expected = gaussian_kl(*off, *exact) - log_evidence(dataset)
    assert abs(gaussian_kl(*off, *exact) - gaussian_kl(*exact, *off)) > 0.2  # the wrong direction would be seen
    assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(200) < 0.1


def test_forward_kl_is_kl_of_p_from_q_plus_entropy(model, dataset, exact, off, rng_key):
    mean, covariance = exact
    noise = random.normal(rng_key, (20_000, 2))
    z = jnp.asarray(mean + np.asarray(noise) @ np.linalg.cholesky(covariance).T, jnp.float32)
    values = losses(ForwardKL(), model, gaussian(*off), dataset, z, random.split(rng_key, 20_000))
    entropy = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
    expected = gaussian_kl(*exact, *off) + entropy
    assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(20_000) < 0.1


def test_symmetric_kl_is_the_weighted_mean(model, dataset, off, rng_key):
    q, z = gaussian(*off), jnp.array([[0.1, -0.2]])
    keys = rng_key[None]
    reverse = ReverseKL(num_samples=3)
    parts = [losses(o, model, q, dataset, z, keys)[0] for o in (ForwardKL(), reverse)]
    mixed = losses(SymmetricKL(reverse, reverse_weight=0.25), model, q, dataset, z, keys)[0]
    assert_allclose(mixed, 0.75 * parts[0] + 0.25 * parts[1], rtol=1e-6)


def test_kl_warmup_weighs_everything_but_the_likelihood(model, dataset, off, rng_key):
    q = gaussian(*off)
    objective = ReverseKL(num_samples=5, kl_warmup=0.5)

    @jax.jit
    def loss(progress):
        return objective.loss(model, q, dataset, None, progress=progress, rng_key=rng_key)

    @jax.jit
    def parts():
        z, log_q = q.sample_and_log_prob(rng_key, 5)
        return log_q, *vmap(model.log_prior_and_likelihood, in_axes=(0, None))(z, dataset)

    log_q, log_prior, rows = parts()
    likelihood, kl = float(jnp.mean(rows.sum(axis=1))), float(jnp.mean(log_q - log_prior))
    assert_allclose(loss(0.0), -likelihood, rtol=1e-5)
    assert_allclose(loss(0.25), 0.5 * kl - likelihood, rtol=1e-5)
    assert_allclose([loss(0.5), loss(1.0)], kl - likelihood, rtol=1e-5)


def gradients_at_posterior(objective, model, dataset, exact, keys):
    """One row for each key: the gradient with respect to the mean and the lower triangle of the scale."""
    q = gaussian(*exact)

    def loss(loc, scale_tril, key):
        moved = FullGaussian(loc, scale_tril, q.mask)
        return objective.loss(model, moved, dataset, None, progress=NOW, rng_key=key)

    gradients = jax.jit(vmap(jax.grad(loss, argnums=(0, 1)), in_axes=(None, None, 0)))
    loc, scale_tril = jax.device_get(gradients(q.loc, q.scale_tril, keys))
    return np.concatenate([loc, scale_tril[:, *np.tril_indices(2)]], axis=1)


def test_sticking_the_landing_has_no_noise_at_the_posterior(model, dataset, exact, rng_key):
    keys = rng_key[None]
    plain = gradients_at_posterior(ReverseKL(4), model, dataset, exact, keys)
    stuck = gradients_at_posterior(ReverseKL(4, stick_the_landing=True), model, dataset, exact, keys)
    assert np.abs(plain).max() > 0.1  # unbiased, but noisy
    assert np.abs(stuck).max() < 1e-3


def test_reverse_gradient_vanishes_at_the_posterior_on_average(model, dataset, exact, rng_key):
    gradients = gradients_at_posterior(ReverseKL(64), model, dataset, exact, random.split(rng_key, 40))
    error = gradients.std(axis=0) / math.sqrt(40)
    assert np.all(np.abs(gradients.mean(axis=0)) < 5 * error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReverseKL(num_samples=0), "num_samples must be at least 1; got 0"),
        (lambda: ReverseKL(kl_warmup=1.5), "share of the budget"),
        (lambda: SymmetricKL(reverse_weight=2.0), r"must lie in \[0, 1\]; got 2.0"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_only_reverse_kl_does_without_latents():
    assert {name: cls().needs_latents for name, cls in OBJECTIVES.items()} == {
        "forward": True,
        "reverse": False,
        "symmetric": True,
    }
