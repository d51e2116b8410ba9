"""What the models that are refused have in common."""

import re

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


def message(pattern: str) -> str:
    """The pattern with everything literal but `.*`."""
    return ".*".join(re.escape(part) for part in pattern.split(".*"))
