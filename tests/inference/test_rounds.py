"""A q that is wrong on purpose is seen, and corrected: Gaussian posteriors, whose means and sds are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from posterity.amortized.families.base import AbstractTransport
from posterity.amortized.families.noise import base_noise
from posterity.inference.draw import Drawn
from posterity.inference.rounds import Source, more_rounds, pool_of
from posterity.trust.fitted import fitted_student
from posterity.trust.verdict import judge
from posterity.trust.weights import pareto_smoothed

NUM_DRAWS = 1000


class Affine(AbstractTransport):
    """z = loc + root e."""

    loc: Float[Array, " latent"]
    root: Float[Array, "latent latent"]
    mask: Bool[Array, " latent"]

    def __init__(self, loc, root):
        self.loc, self.root = jnp.asarray(loc, jnp.float32), jnp.asarray(root, jnp.float32)
        self.mask = jnp.ones(self.loc.size, bool)

    def transform_and_log_det(self, noise):
        return self.loc + self.root @ noise, jnp.linalg.slogdet(self.root)[1]

    def inverse_and_log_det(self, z):
        return jnp.linalg.solve(self.root, z - self.loc), -jnp.linalg.slogdet(self.root)[1]


@eqx.filter_jit
def bent(q, log_joint, noise):
    z, log_q, log_wider = jax.tree.map(lambda leaf: leaf[noise.order], q.from_noise(noise))
    return z, {}, log_q, log_wider, log_joint(z), {}


def weighed(q, log_joint, seed):
    """The pool and weights of a q, as `infer` comes to them, and the number of rounds."""
    size, turns = q.loc.size, [0]

    def draw(noises):
        turns[0] += len(noises)
        return [Drawn(*jax.tree.map(np.asarray, bent(q, log_joint, noise))) for noise in noises]

    def noise_of(turn):
        return base_noise(np.random.default_rng([seed, turn]), NUM_DRAWS, size)

    (first,) = draw([noise_of(0)])
    pool = pool_of(first, noise_of(0))
    source = Source(noise_of, lambda turn: np.random.default_rng([seed, turn, 1]), draw, np.ones(size, bool))
    pool, weights = more_rounds(first, pool, pareto_smoothed(pool.log_ratios), source, NUM_DRAWS)
    return pool, weights, turns[0]


def gaussian(covariance):
    precision = jnp.asarray(np.linalg.inv(covariance), jnp.float32)
    return lambda z: -0.5 * jnp.sum(z * (z @ precision), axis=1)


def correlated(size, sd):
    """Two of the latents have correlation -0.99; q has none, and this sd."""
    covariance = np.eye(size)
    covariance[0, 1] = covariance[1, 0] = -0.99
    return covariance, sd * np.eye(size)


WRONG = {
    "half as wide": lambda size: (np.eye(size), 0.5 * np.eye(size)),
    "twice as wide": lambda size: (np.eye(size), 2.0 * np.eye(size)),
    "margins without their correlation": lambda size: correlated(size, 1.0),
    "as reverse KL leaves a correlation": lambda size: correlated(size, np.sqrt(1.0 - 0.99**2)),
}


# Of 500 other seeds each, all are corrected and none is off by 0.25 sd or 25%; see `benchmarks/trust_wrong.py`.
@pytest.mark.parametrize("size", [2, 5, 20])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_q_is_corrected(wrong, size):
    covariance, root = WRONG[wrong](size)
    log_joint = gaussian(covariance)
    for seed in range(3):
        pool, weights, _ = weighed(Affine(np.zeros(size), root), log_joint, seed)
        assert judge(weights) == ("corrected", ())
        w = np.exp(weights.log_weights)
        mean = w @ pool.z
        assert_allclose(mean, 0.0, atol=0.25)
        assert_allclose(np.sqrt(w @ (pool.z - mean) ** 2), 1.0, rtol=0.25)


def test_a_right_q_takes_one_round():
    _, weights, rounds = weighed(Affine(np.zeros(5), np.eye(5)), gaussian(np.eye(5)), 0)
    assert rounds == 1 and weights.ess > NUM_DRAWS


def test_the_evidence_of_the_mixture_is_that_of_the_posterior():
    """A q half as wide, after rounds of which half come from a fit: log of (2 pi)^(5 / 2), within 5 standard errors."""
    pool, weights, rounds = weighed(Affine(np.full(5, 0.3), 0.5 * np.eye(5)), gaussian(np.eye(5)), 1)
    assert rounds == 4 and len(weights.log_weights) == 4 * 1112
    ratios = np.exp(pool.log_ratios)
    error = ratios.std() / ratios.mean() / np.sqrt(len(ratios))
    assert abs(np.log(ratios.mean()) - 2.5 * np.log(2.0 * np.pi)) < 5.0 * error < 0.2
    assert pool.is_of_q.sum() == 1000 + 3 * 500


def test_a_heavy_tail_is_no_narrow_gaussian():
    """A Student-t with 3 degrees of freedom against its Gaussian: the quartiles are right, whatever the weights say."""

    def log_joint(z):
        return -2.0 * jnp.sum(jnp.log1p(jnp.square(z) / 3.0), axis=1)

    for seed in range(5):
        pool, weights, _ = weighed(Affine(np.zeros(2), np.sqrt(3.0 / 4.0) * np.eye(2)), log_joint, seed)
        assert judge(weights)[0] == "corrected"
        below = np.exp(weights.log_weights) @ (pool.z < stats.t.ppf(0.95, 3))
        assert_allclose(below, 0.95, atol=0.015)


def test_what_cannot_be_computed_far_out_weighs_nothing():
    """Beyond 6 the model has NaN: draws of q never get there, wider ones do."""

    def log_joint(z):
        return jnp.where(jnp.max(jnp.abs(z), axis=1) < 6.0, -0.5 * jnp.sum(jnp.square(z), axis=1), jnp.nan)

    pool, weights, _ = weighed(Affine(np.zeros(2), np.eye(2)), log_joint, 0)
    assert judge(weights)[0] == "corrected" and np.isneginf(pool.log_joint).any()


def test_where_draws_of_q_cannot_be_computed_nothing_is_corrected():
    _, weights, _ = weighed(Affine(np.zeros(2), np.eye(2)), lambda z: jnp.where(z[:, 0] < 2.0, 0.0, jnp.nan), 0)
    assert judge(weights)[0] == "untrusted" and "NaN or +inf" in weights.problems[0]


def test_the_same_question_has_the_same_bits():
    first, second = (weighed(Affine(np.zeros(2), 0.5 * np.eye(2)), gaussian(np.eye(2)), 3) for _ in range(2))
    assert first[2] == second[2] == 4
    assert_array_equal(first[0].z, second[0].z)
    assert_array_equal(first[1].log_weights, second[1].log_weights)


def test_the_fit_of_a_gaussian_is_exact():
    rng = np.random.default_rng(0)
    root = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.3, -0.2, 1.0]])
    loc, covariance = np.array([0.5, -1.0, 2.0]), root @ root.T
    e = rng.normal(size=(200, 3))
    ratios = -0.5 * np.einsum("si,ij,sj->s", e - loc, np.linalg.inv(covariance), e - loc) + 0.5 * np.sum(e**2, axis=1)
    fit = fitted_student(e, ratios, np.full(200, -np.log(200.0)))
    assert_allclose(fit.loc, loc, rtol=1e-6)
    assert_allclose(fit.axes * fit.widths**2 @ fit.axes.T, 1.2**2 * covariance, rtol=1e-6)
    drawn = fit.sample(rng, 50_000)
    assert_allclose(np.cov(drawn.T), 1.5 * 1.44 * covariance, atol=0.35)  # 6 degrees of freedom: variance times 6 / 4
    over = np.exp(-fit.log_over_normal(drawn))  # of the normal, half of whose mass lies where the fit's draws do
    assert over.mean() == pytest.approx(1.0, abs=5.0 * over.std() / np.sqrt(len(over)))
    assert fitted_student(e[:20], ratios[:20], np.full(20, -np.log(20.0))) is None
