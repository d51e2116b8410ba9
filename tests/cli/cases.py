"""Models, tables and options that the tests of the command share."""

import numpy as np
import polars as pl

TINY = ["--rows", "16:32", "--features", "1:3", "--steps", "40", "--batch-size", "16"]
TINY += ["--trunk-option", "width=32", "--trunk-option", "depth=1", "--covariates", "normal"]

OWN_MODEL = '''"""Counts per day in a shop."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def shop(x, y=None):
    """Poisson counts with a log-linear rate."""
    with numpyro.plate("features", x.shape[-1]):
        w = numpyro.sample("w", dist.Normal(0.0, 0.3))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Poisson(jnp.exp(jnp.clip(x @ w + b, -9.0, 9.0))), obs=y)
'''


def regression_table(num_rows: int = 24) -> pl.DataFrame:
    """Two covariates in units of their own, and a target that depends on the first."""
    rng = np.random.default_rng(1)
    age, height = rng.normal(40.0, 10.0, num_rows), rng.normal(1.7, 0.1, num_rows)
    return pl.DataFrame({"age": age, "height": height, "y": 100.0 + 5.0 * age + rng.normal(0.0, 30.0, num_rows)})


def shop_table(num_rows: int = 24) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    temperature, holiday = rng.normal(0.0, 1.0, num_rows), rng.integers(0, 2, num_rows)
    return pl.DataFrame({"temperature": temperature, "holiday": holiday, "sales": rng.poisson(2.0, num_rows)})
