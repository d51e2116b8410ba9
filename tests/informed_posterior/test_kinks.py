"""Averages of kinked log densities over nodes are right between the nodes, and smooth ones are left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

from posterity.informed_posterior.anchor.kinks import missed_by_nodes
from posterity.informed_posterior.anchor.nodes import NODE_WEIGHTS, NODES

KINKS = np.linspace(-3.0, 3.0, 61)
JUMP = 2.0


@pytest.fixture(scope="module")
def slopes():
    """Of -|x - kink| at the nodes, as they are and put right."""
    gaps = NODES - KINKS[:, None]
    raw = -np.sign(gaps)
    return raw, raw + missed_by_nodes(jnp.asarray(-np.abs(gaps)), jnp.asarray(raw))


def test_mean_slope_of_a_kink(slopes):
    """Exact: 1 - 2 P(x > kink). The nodes alone miss more than a tenth of the jump."""
    raw, right = slopes
    exact = 1.0 - JUMP * norm.sf(KINKS)
    assert np.max(np.abs(right @ NODE_WEIGHTS - exact)) < 0.05 * JUMP
    assert np.max(np.abs(raw @ NODE_WEIGHTS - exact)) > 0.1 * JUMP


def test_mean_curvature_of_a_kink(slopes):
    """Exact: the jump times the density there."""
    raw, right = slopes
    exact = JUMP * norm.pdf(KINKS)
    assert np.max(np.abs(-right @ (NODE_WEIGHTS * NODES) - exact)) < 0.06 * JUMP
    assert np.max(np.abs(-raw @ (NODE_WEIGHTS * NODES) - exact)) > 0.1 * JUMP


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(
    "log_prob",
    [
        lambda eta: dist.BernoulliLogits(eta).log_prob(1),
        lambda eta: dist.Poisson(jnp.exp(eta)).log_prob(3),
        lambda eta: dist.NegativeBinomialLogits(2.0, eta).log_prob(3),
        lambda eta: dist.Normal(eta, 0.05).log_prob(200.0),
        lambda eta: dist.StudentT(4.0, eta, 2.0).log_prob(1.5),
    ],
)
def test_smooth_log_densities_are_left_alone(log_prob, width):
    """Also where float32 loses their digits, as 200 standard deviations away."""
    eta = 0.3 + width * NODES[None].astype(np.float32)
    values, pull_back = jax.vjp(log_prob, jnp.asarray(eta))
    assert not np.any(missed_by_nodes(values, width * pull_back(jnp.ones_like(values))[0]))


def test_what_is_not_finite_is_left_alone():
    values = jnp.asarray([[-jnp.inf, -1.0, 0.0, 1.0, 0.0, -1.0, -2.0, jnp.nan, 0.0]])
    assert np.all(np.isfinite(missed_by_nodes(values, jnp.ones((1, 9)))))
