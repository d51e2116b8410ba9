"""Draws of counts: NumPyro's own where they are small, right moments where int32 would end."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random
from numpy.testing import assert_array_equal

from posterity.model.counts import with_float_counts

NUM_DRAWS = 4000


def mixture(rate):
    return dist.MixtureSameFamily(dist.Categorical(jnp.array([0.3, 0.7])), dist.Poisson(jnp.array([1.0, 2.0]) * rate))


FAMILIES = {
    "poisson": dist.Poisson,
    "expanded": lambda m: dist.Poisson(m).expand((3,)).to_event(1),
    "negative_binomial": lambda m: dist.NegativeBinomial2(m, 4.0),
    "gamma_poisson": lambda m: dist.GammaPoisson(3.0, 3.0 / m),
    "beta_negative_binomial": lambda m: dist.BetaNegativeBinomial(2.0, 20.0, m),
    "zero_inflated": lambda m: dist.ZeroInflatedPoisson(0.3, m),
    "zero_inflated_negative_binomial": lambda m: dist.ZeroInflatedNegativeBinomial2(m, 4.0, gate_logits=0.2),
    "hurdle": lambda m: dist.HurdlePoisson(0.3, m),
    "mixture": mixture,
    "general_mixture": lambda m: dist.MixtureGeneral(
        dist.Categorical(jnp.array([0.5, 0.5])), [dist.Poisson(m), dist.NegativeBinomial2(m, 4.0)]
    ),
    "geometric": lambda m: dist.GeometricProbs(1.0 / m),
    "binomial": lambda m: dist.Binomial(jnp.float32(10.0 * m), probs=0.1),
    "binomial_logits": lambda m: dist.Binomial(jnp.float32(10.0 * m), logits=-2.0),
    "rare": lambda m: dist.Binomial(jnp.float32(1e3 * m), probs=1e-4),
    "hardly_fails": lambda m: dist.Binomial(jnp.float32(1e3 * m), probs=1.0 - 2.0**-20),
    "beta_binomial": lambda m: dist.BetaBinomial(2.0, 5.0, jnp.float32(4.0 * m)),
}


@pytest.mark.parametrize("scale", [1e7, 1e9, 1e14])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_large_counts_have_the_moments_of_their_distribution(family, scale, rng_key):
    """Five standard errors of a mean; the sd within 20%, as heavy tails need (JAX's Poisson is 18% off at 1e8)."""
    with_floats = with_float_counts(family(jnp.float32(scale)))
    draws = np.asarray(with_floats.sample(rng_key, (NUM_DRAWS,)), np.float64)
    mean, sd = np.asarray(with_floats.mean, np.float64), np.sqrt(np.asarray(with_floats.variance, np.float64))
    rounding = 1e-6 * mean  # of float32
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5 * sd / NUM_DRAWS**0.5 + rounding)
    if not np.any(sd < 10 * rounding):
        assert np.all(np.abs(draws.std(axis=0) / sd - 1) < 0.2)
    assert_array_equal(draws, np.round(draws))


@pytest.mark.parametrize("scale", [1e2, 5e5])
def test_draws_of_the_poisson_have_its_spread_on_both_sides_of_the_seam(scale, rng_key):
    """An sd of 4000 draws errs by 1.1%: five standard errors."""
    for rate in (scale, 4 * scale):
        draws = with_float_counts(dist.Poisson(rate)).sample(rng_key, (NUM_DRAWS,))
        assert np.std(draws) == pytest.approx(rate**0.5, rel=0.056)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("rare", "hardly_fails")])
def test_small_counts_are_those_of_numpyro(family, rng_key):
    made = FAMILIES[family](20)
    if "binomial" in family and hasattr(made, "total_count"):  # NumPyro's sampler takes no float for the total
        made = {"probs": dist.Binomial(200, probs=0.1), "logits": dist.Binomial(200, logits=-2.0)}.get(
            "logits" if "logits" in family else "probs", made
        )
    expected = made.sample(rng_key, (50,))
    assert_array_equal(with_float_counts(made).sample(rng_key, (50,)), np.asarray(expected, np.float32))


def test_rates_that_overflow_give_no_counts(rng_key):
    for family in (dist.Poisson, lambda m: dist.NegativeBinomial2(m, 4.0), lambda m: dist.ZeroInflatedPoisson(0.0, m)):
        draw = jax.jit(lambda rate, family=family: with_float_counts(family(rate)).sample(rng_key, (9,)))
        assert np.all(np.isinf(draw(jnp.inf)))  # under jit, as in our programs: NumPyro would refuse the rate outside
        assert np.all(np.isnan(draw(jnp.nan)))


def test_a_sampler_of_the_users_own_is_kept(rng_key):
    class Doubled(dist.Poisson):
        def sample(self, key, sample_shape=()):
            return 2 * super().sample(key, sample_shape)

    draws = with_float_counts(Doubled(5.0)).sample(random.key(0), (50,))
    assert np.all(draws % 2 == 0) and with_float_counts(Doubled(5.0)).rate == 5.0
