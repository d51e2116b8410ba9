"""Small budgets against closed forms: does training find the posterior, whichever way it is asked to?"""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from oracles import gaussian_kl, gaussian_mean_posterior, linear_regression_posterior

import posterity
from posterity import Architecture, Envelope, ForwardKL, ReverseKL, SymmetricKL, TrainingConfig

OBJECTIVES = {"forward": ForwardKL(), "reverse": ReverseKL(), "symmetric": SymmetricKL()}


def gaussian_of(estimator, dataset, num_draws=4000):
    """Mean and covariance of q, from draws."""
    proposal = estimator.infer(dataset, num_draws=30, refine_seconds=0.0).proposal
    z = np.asarray(proposal.q.sample(random.key(0), num_draws), np.float64)
    return z.mean(axis=0), np.cov(z.T)


def test_draws():
    """How far KL estimates from 4000 draws are off, so that the limits below mean what they say."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 2))
    assert gaussian_kl(np.zeros(2), np.eye(2), z.mean(axis=0), np.cov(z.T)) < 0.005


@pytest.mark.parametrize("objective", [ForwardKL(), ReverseKL()], ids=["forward", "reverse"])
def test_gaussian_mean_reaches_its_closed_form(objective):
    """Seconds of training come within 0.1 nats of the exact posterior; the prior is 2 nats away."""
    simulator = posterity.build_simulator(
        posterity.MODELS["gaussian_mean"].model,
        {"x": np.zeros((4, 2))},
        Envelope((8, 16)),
        covariates="normal",
        check=False,
    )
    estimator = posterity.train(
        simulator,
        objective=objective,
        architecture=Architecture("deep_sets", "diagonal", {"width": 16, "depth": 1}, {}, {"width": 32, "depth": 2}),
        config=TrainingConfig(steps=1200, batch_size=32, warmup_steps=50),
    )
    gaps, from_prior = [], []
    for seed in range(20):
        data, _ = simulator.simulate(random.key(seed), jnp.ones(10, bool), {})
        dataset = {"x": np.asarray(data.values["x"])}
        exact = gaussian_mean_posterior(dataset["x"])
        q = gaussian_of(estimator, dataset)
        gaps.append(max(gaussian_kl(*exact, *q), gaussian_kl(*q, *exact)))
        from_prior.append(gaussian_kl(*exact, np.zeros(2), np.eye(2)))
    assert np.median(gaps) < 0.1
    assert np.median(from_prior) > 1.0


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_linear_regression_reaches_its_closed_form(objective):
    """A few minutes on 3 features: within 0.15 nats per latent of the exact posterior in either direction."""
    entry = posterity.MODELS["linear_regression_known_noise"]
    simulator = posterity.builtin_simulator(entry, (16, 64), (3, 3), covariates="normal")
    estimator = posterity.train(simulator, objective=objective, config=TrainingConfig(steps=6000, batch_size=64))
    gaps = []
    for seed in range(20):
        data, _ = simulator.simulate(random.key(seed), jnp.ones(48, bool), simulator.model.plate_masks({"features": 3}))
        dataset = {name: np.asarray(array) for name, array in data.values.items()}
        exact, q = linear_regression_posterior(dataset), gaussian_of(estimator, dataset)
        gaps.append(0.5 * (gaussian_kl(*exact, *q) + gaussian_kl(*q, *exact)) / 4)
    assert np.median(gaps) < 0.15
    assert estimator.record["training"]["validation"]["ess_fraction"] > 0.3
