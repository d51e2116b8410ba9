"""Draws of counts as floats: NumPyro draws them as int32, which ends at 2^31, and JAX's samplers go astray before.

At a rate of 1e8 the sd of JAX's Poisson draws is a fifth too large, from 2^31 on every draw is the same, and where a
rate overflows they are anything. From `LARGE` on draws are normal: the skewness is 1e-3 there, so that a bound of 90%
is off by less than half a count. Below, draws are NumPyro's own, number by number.
"""

import copy
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import (
    BetaBinomial,
    BetaNegativeBinomial,
    BinomialLogits,
    BinomialProbs,
    Distribution,
    GammaPoisson,
    NegativeBinomialProbs,
    Poisson,
)

from posterity.runtime.keys import for_purpose

__all__ = ["LARGE", "with_float_counts"]

LARGE = 1e6
"""Variance from which counts are drawn as rounded normal values."""
INT_END = 2.0**31


def with_float_counts(distribution: Distribution) -> Distribution:
    """The distribution, whose draws of counts are floats; its density, mean and support stay.

    Distributions inside others (expanded, independent, zero-inflated, hurdles, mixtures) are reached as well. One with
    a sampler of its own keeps it.
    """
    made = copy.copy(distribution)
    for name, value in vars(distribution).items():
        if isinstance(value, Distribution):
            vars(made)[name] = with_float_counts(value)
        elif isinstance(value, (list, tuple)) and any(isinstance(entry, Distribution) for entry in value):
            vars(made)[name] = [with_float_counts(entry) for entry in value]
    for kind, sampler in _SAMPLERS.items():
        if type(distribution).sample is kind.sample:
            vars(made)["sample"] = _method(sampler, distribution)
    return made


Sampler = Callable[[Any, PRNGKeyArray, tuple[int, ...]], Array]


def _method(sampler: Sampler, distribution: Distribution) -> Callable[..., Array]:
    def sample(key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()) -> Array:
        return sampler(distribution, key, sample_shape)

    return sample


def _poisson(distribution: Poisson, rng_key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Array:
    rate = jnp.broadcast_to(distribution.rate, sample_shape + distribution.batch_shape)
    return _poisson_draws(rng_key, rate.astype(jnp.float32))


def _gamma_poisson(distribution: GammaPoisson, rng_key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Array:
    key_gamma, key_poisson = random.split(rng_key)
    return _poisson_draws(key_poisson, distribution._gamma.sample(key_gamma, sample_shape))


def _binomial(distribution: Any, rng_key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Array:
    shape = sample_shape + distribution.batch_shape
    return _binomial_draws(rng_key, distribution.total_count, distribution.probs, shape)


def _beta_binomial(distribution: BetaBinomial, rng_key: PRNGKeyArray, sample_shape: tuple[int, ...]) -> Array:
    key_beta, key_binomial = random.split(rng_key)
    probs = distribution._beta.sample(key_beta, sample_shape)
    return _binomial_draws(key_binomial, distribution.total_count, probs, probs.shape)


def _beta_negative_binomial(
    distribution: BetaNegativeBinomial, rng_key: PRNGKeyArray, sample_shape: tuple[int, ...]
) -> Array:
    key_beta, key_count = random.split(rng_key)
    probs = distribution._beta.sample(key_beta, sample_shape)
    return _gamma_poisson(NegativeBinomialProbs(distribution.n, probs), key_count, ())


_SAMPLERS: dict[Any, Sampler] = {
    Poisson: _poisson,
    GammaPoisson: _gamma_poisson,  # every negative binomial
    BinomialProbs: _binomial,
    BinomialLogits: _binomial,
    BetaBinomial: _beta_binomial,
    BetaNegativeBinomial: _beta_negative_binomial,
}


def _poisson_draws(rng_key: PRNGKeyArray, rate: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    few = random.poisson(rng_key, jnp.clip(rate, 0.0, LARGE)).astype(jnp.float32)
    return _few_or_many(rng_key, few, rate, rate, rate < LARGE)


def _binomial_draws(rng_key: PRNGKeyArray, total: Any, probs: Any, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    n = jnp.broadcast_to(total, shape).astype(jnp.float32)
    p = jnp.broadcast_to(probs, shape)
    mean, variance = n * p, n * p * (1.0 - p)
    is_few = variance < LARGE
    whole = jnp.where(is_few & (n < INT_END), n, 0.0).astype(jnp.int32)
    few = BinomialProbs(p, whole).sample(rng_key).astype(jnp.float32)
    # So many trials and so little variance: what is rare, successes or failures, is Poisson to four digits.
    rare = random.poisson(rng_key, jnp.clip(n * jnp.minimum(p, 1.0 - p), 0.0, 2.0 * LARGE)).astype(jnp.float32)
    few = jnp.where(n < INT_END, few, jnp.where(p < 0.5, rare, n - rare))
    return _few_or_many(rng_key, few, mean, variance, is_few)


def _few_or_many(rng_key: PRNGKeyArray, few: Array, mean: Array, variance: Array, is_few: Array) -> Array:
    """The draws `few` where they hold, elsewhere rounded normal ones; infinite and NaN means stay what they are."""
    noise = jnp.sqrt(variance) * random.normal(for_purpose(rng_key, "large counts"), mean.shape)
    many = jnp.where(jnp.isfinite(mean) & jnp.isfinite(noise), jnp.round(mean + noise), mean)
    return jnp.where(is_few, few, many)
