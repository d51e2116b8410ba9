"""What tests of models share: parts of models, messages, and garbage for where a mask must be obeyed."""

import re

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)).astype(np.float32)
Y = RNG.normal(size=7).astype(np.float32)
XY = {"x": X, "y": Y}


def mean():
    return numpyro.sample("mu", dist.Normal(0.0, 1.0))


def observe(value, y):
    numpyro.sample("y", dist.Normal(value, 1.0), obs=y)


def plated_weights(x):
    with numpyro.plate("features", x.shape[-1]):
        return numpyro.sample("w", dist.Normal(0.0, 1.0))


def garbage(like):
    """NaN and 1e6 by turns along the first axis, in the shape of an array; 1e6 alone where NaN is no value."""
    real = jnp.issubdtype(like.dtype, jnp.floating)
    by_turns = jnp.where(jnp.arange(like.shape[0]) % 2 == 0, jnp.nan if real else 1e6, 1e6).astype(like.dtype)
    return jnp.broadcast_to(jnp.reshape(by_turns, (-1,) + (1,) * (like.ndim - 1)), like.shape)


def message(pattern: str) -> str:
    """The pattern with everything literal but `.*`."""
    return ".*".join(re.escape(part) for part in pattern.split(".*"))
