"""Random intercepts with two unknown scales, centred and non-centred, against sums over a grid of both scales."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random, vmap
from numpy.testing import assert_allclose
from scipy import special, stats

from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.structure import read_structure
from posterity.model.intake import pad_dataset, read_arrays
from posterity.model.read import read_model

NUM_GROUPS, NUM_ROWS, NUM_DRAWS = 6, 30, 4000
GROUP = np.arange(NUM_ROWS) % NUM_GROUPS


def centred(group, y=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("groups", NUM_GROUPS):
        effect = numpyro.sample("effect", dist.Normal(0.0, spread))
    numpyro.sample("y", dist.Normal(mean + effect[group], sigma), obs=y)


def non_centred(group, y=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("groups", NUM_GROUPS):
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mean + spread * raw[group], sigma), obs=y)


def response(spread: float) -> np.ndarray:
    """Rows of groups with this spread, around 0.4, noise sd 0.7."""
    rng = np.random.default_rng(4)
    return 0.4 + spread * rng.normal(size=NUM_GROUPS)[GROUP] + 0.7 * rng.normal(size=NUM_ROWS)


RESPONSES = {"spread": response(0.8), "no_spread": response(0.0)}  # the second is a funnel: its spread may be nothing


@pytest.fixture(scope="module", params=[centred, non_centred])
def answers(request):
    """Draws of q for every response: effects in units of the data, log ratios, log densities both ways."""
    model = read_model(request.param, {"group": GROUP, "y": RESPONSES["spread"]})
    network = InformedNetwork(RowNetwork(8, 2, key=random.key(0)), model, read_structure(model))

    @jax.jit
    def look(dataset, q, rng_key):
        z, log_q = q.sample_and_log_prob(rng_key, NUM_DRAWS)
        latents = vmap(model.space.constrain)(z)
        raw = latents["raw"] * latents["spread"][:, None] if "raw" in latents else latents["effect"]
        values = jnp.column_stack([latents["mean"], latents["spread"], latents["sigma"], raw])
        return values, log_q, vmap(q.log_prob)(z[:200]), vmap(lambda at: model.log_joint(at, dataset))(z)

    found = {}
    for name, y in RESPONSES.items():
        dataset = pad_dataset(model, read_arrays(model, {"group": GROUP, "y": y}), 32)
        found[name] = jax.device_get(look(dataset, network(dataset), random.key(1)))
    return found


def exact(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and sd of (mean, spread, sigma, effects), and the log evidence: exact given the scales, summed over them."""
    design = np.column_stack([np.ones(NUM_ROWS), np.eye(NUM_GROUPS)[GROUP]])
    log_spreads, log_sigmas = np.linspace(-9.0, 2.0, 221), np.linspace(-1.6, 1.2, 113)
    log_joint, firsts, seconds = [], [], []
    for log_spread in log_spreads:
        spread = np.exp(log_spread)
        prior_precision = np.diag([1.0, *np.full(NUM_GROUPS, spread**-2.0)])
        for log_sigma in log_sigmas:
            sigma = np.exp(log_sigma)
            precision = prior_precision + design.T @ design / sigma**2
            covariance = np.linalg.inv(precision)
            at = covariance @ design.T @ y / sigma**2
            log_lik = stats.norm.logpdf(y - design @ at, 0.0, sigma).sum()
            log_prior = -0.5 * at @ prior_precision @ at + 0.5 * np.linalg.slogdet(prior_precision)[1]
            log_scales = stats.halfnorm.logpdf(spread) + log_spread + stats.halfnorm.logpdf(sigma) + log_sigma
            log_joint.append(log_lik + log_prior - 0.5 * np.linalg.slogdet(precision)[1] + log_scales)
            firsts.append([at[0], spread, sigma, *at[1:]])
            squares = np.diagonal(covariance) + at**2
            seconds.append([squares[0], spread**2, sigma**2, *squares[1:]])
    total = special.logsumexp(log_joint)
    weights = np.exp(np.array(log_joint) - total)
    mean = weights @ np.array(firsts)
    cell = (log_spreads[1] - log_spreads[0]) * (log_sigmas[1] - log_sigmas[0])
    return mean, np.sqrt(weights @ np.array(seconds) - mean**2), total + np.log(cell)


@pytest.mark.parametrize("name", RESPONSES)
def test_draws_are_those_of_the_exact_posterior(answers, name):
    """Weighted means within 4.5 standard errors: 36 of them, 3e-4 in all, were the keys not fixed."""
    values, log_q, _, log_joint = answers[name]
    mean, sd, evidence = exact(RESPONSES[name])
    ratios = log_joint.astype(np.float64) - log_q
    weights = np.exp(ratios - special.logsumexp(ratios))
    assert 1.0 / np.sum(weights**2) > 0.9 * NUM_DRAWS
    values = values.astype(np.float64)
    error = np.sqrt(weights**2 @ (values - mean) ** 2)
    assert (np.abs(weights @ values - mean) < 4.5 * error).all()
    assert_allclose(np.sqrt(weights @ (values - mean) ** 2), sd, rtol=0.08)
    assert_allclose(special.logsumexp(ratios) - np.log(NUM_DRAWS), evidence, atol=0.05)


@pytest.mark.parametrize("name", RESPONSES)
def test_log_prob_of_draws_agrees_with_the_forward_pass(answers, name):
    _, log_q, again, _ = answers[name]
    assert_allclose(again, log_q[:200], rtol=1e-3, atol=2e-2)
