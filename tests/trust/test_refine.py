"""Sampling from q on: it converges where it can, says so where it cannot, and keeps to the clock."""

import importlib

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_allclose

from posterity.estimator import Estimator
from posterity.problem import Envelope, build_problem
from posterity.problem.intake import pad_dataset
from posterity.trust import Budget, judge_refined, pareto_smoothed
from posterity.trust.refine import NUM_CHAINS, compile_refinement, refine

NUM_LATENTS = 4


def gaussian(y=None):
    """Latents of very different scales; the posterior is known."""
    sds = 10.0 ** jnp.linspace(-2.0, 1.0, NUM_LATENTS)
    z = numpyro.sample("z", dist.Normal(jnp.zeros(NUM_LATENTS), sds))
    numpyro.sample("y", dist.Normal(jnp.sum(z / sds), 1.0), obs=y)


def funnel(y=None):
    """Neal's funnel, hardly touched by its data."""
    v = numpyro.sample("v", dist.Normal(0.0, 3.0))
    u = numpyro.sample("u", dist.Normal(jnp.zeros(9), jnp.exp(v / 2.0)))
    numpyro.sample("y", dist.Normal(jnp.mean(u), 10.0), obs=y)


def ready(model, y, q_sd):
    """Problem, padded dataset, mask and 1000 draws of a wrong q."""
    data = {"y": np.asarray(y, np.float32)}
    problem = build_problem(model, data, Envelope((len(y), len(y))), check=False)
    dataset = pad_dataset(problem, data, len(y))
    mask = jnp.ones(problem.space.size, bool)
    z = q_sd * np.random.default_rng(0).normal(size=(1000, problem.space.size)).astype(np.float32)
    compile_refinement(problem, dataset, mask, z)
    return problem, dataset, mask, z


module = importlib.import_module("posterity.trust.refine")  # the package has a function of that name
EQUAL = np.full(1000, -np.log(1000.0))


def test_a_gaussian_is_found_from_a_wrong_scale():
    """Precision of z / sds is I + n 11', so its covariance is I - n / (1 + 4 n) 11' for n rows."""
    y = [1.0, 2.0, 0.5]
    problem, dataset, mask, z = ready(gaussian, y, q_sd=1.0)
    found = refine(problem, dataset, mask, z, EQUAL, random.key(1), Budget(seconds=60.0, min_ess=1000.0))
    assert found.problems == () and found.max_r_hat <= 1.01 and found.min_ess >= 1000.0
    assert found.z.shape[0] == NUM_CHAINS and found.z.shape[2] == NUM_LATENTS
    white = found.z.reshape(-1, NUM_LATENTS) / 10.0 ** np.linspace(-2.0, 1.0, NUM_LATENTS)
    n = len(y)
    ones = np.ones((NUM_LATENTS, NUM_LATENTS))
    # At least 1000 effective draws: five standard errors of a mean are 0.16, of a covariance about as much.
    assert_allclose(white.mean(axis=0), np.sum(y) / (1.0 + NUM_LATENTS * n), atol=0.16)
    assert_allclose(np.cov(white.T), np.eye(NUM_LATENTS) - n / (1.0 + NUM_LATENTS * n) * ones, atol=0.16)


def test_a_funnel_is_not_called_refined():
    problem, dataset, mask, z = ready(funnel, [0.3, -0.1], q_sd=1.0)
    found = refine(problem, dataset, mask, z, EQUAL, random.key(1), Budget(seconds=3.0))
    assert found.problems
    verdict, reasons = judge_refined(pareto_smoothed(np.random.default_rng(0).standard_cauchy(500)), found)
    assert verdict == "untrusted" and any("refined" in reason for reason in reasons)


def test_no_steps_are_begun_that_would_end_too_late(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    clock = module._Clock(until=102.0)
    assert clock.allows(1000)  # nothing is known yet
    clock.learn(10, seconds=1.0)
    assert clock.allows(19) and not clock.allows(20)
    clock.keep(0.5)
    assert clock.allows(14) and not clock.allows(15)
    now[0] = 101.6
    assert not clock.allows(1)


def test_no_time_gives_no_draws_and_a_reason():
    problem, dataset, mask, z = ready(gaussian, [1.0], q_sd=1.0)
    found = refine(problem, dataset, mask, z, EQUAL, random.key(1), Budget(seconds=1e-9))
    assert found.z.shape[1] == 0 and "No refined draws within 1e-09 s" in found.problems[0]


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_times_below_zero_are_refused(seconds):
    import posterity

    estimator: Estimator = posterity.informed_estimator("gaussian_mean", check=False)
    width = estimator.problem.arguments[0].shape[0]
    with pytest.raises(posterity.InputError, match="time to refine must be at least 0"):
        estimator.infer({estimator.problem.arguments[0].name: np.zeros((4, width))}, refine_seconds=seconds)
