"""Models without exchangeable rows, or whose sizes are written into them, each with one dataset."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan

RNG = np.random.default_rng(0)
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SERIES = RNG.normal(size=30)
TIMES = np.sort(RNG.uniform(0.0, 5.0, size=40))


def schools(sigma, y=None):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("J", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("obs", dist.Normal(theta, sigma), obs=y)


def schools_of(J, sigma, y=None):  # noqa: N803 - as NumPyro's own example has it
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("J", J):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("obs", dist.Normal(theta, sigma), obs=y)


def sliced(y):
    """AR(2)."""
    mu, sigma = numpyro.sample("mu", dist.Normal(0.0, 1.0)), numpyro.sample("sigma", dist.HalfNormal(1.0))
    phi = numpyro.sample("phi", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("obs", dist.Normal(mu + phi[0] * y[1:-1] + phi[1] * y[:-2], sigma), obs=y[2:])


def lagged(y, before, long_before):
    """The same with lags as arguments: its rows are exchangeable given these."""
    mu, sigma = numpyro.sample("mu", dist.Normal(0.0, 1.0)), numpyro.sample("sigma", dist.HalfNormal(1.0))
    phi = numpyro.sample("phi", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.sample("obs", dist.Normal(mu + phi[0] * before + phi[1] * long_before, sigma), obs=y)


def garch(y):
    omega, alpha = numpyro.sample("omega", dist.HalfNormal(1.0)), numpyro.sample("alpha", dist.Beta(2.0, 5.0))
    beta = numpyro.sample("beta", dist.Beta(5.0, 2.0))

    def step(variance, last):
        variance = omega + alpha * last**2 + beta * variance
        return variance, variance

    _, variances = jax.lax.scan(step, jnp.var(y), y[:-1])
    numpyro.sample("obs", dist.Normal(0.0, jnp.sqrt(variances)), obs=y[1:])


def gaussian_process(x, y):
    length, size = numpyro.sample("length", dist.InverseGamma(5.0, 5.0)), numpyro.sample("size", dist.HalfNormal(1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    covariance = size**2 * jnp.exp(-0.5 * jnp.square((x[:, None] - x) / length))
    covariance += (noise**2 + 1e-5) * jnp.eye(len(x))
    numpyro.sample("obs", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)


def local_level(y):
    drift, noise = numpyro.sample("drift", dist.HalfNormal(1.0)), numpyro.sample("noise", dist.HalfNormal(1.0))

    def step(level, now):
        level = numpyro.sample("level", dist.Normal(level, drift))
        numpyro.sample("obs", dist.Normal(level, noise), obs=now)
        return level, None

    scan(step, numpyro.sample("first", dist.Normal(0.0, 1.0)), y)


def random_walk(y):
    """A local level with its states in one plate, and as many as there are data."""
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("time", len(y)):
        steps = numpyro.sample("steps", dist.Normal(0.0, 1.0))
    numpyro.deterministic("level", jnp.cumsum(steps))
    numpyro.sample("obs", dist.Normal(jnp.cumsum(steps), noise), obs=y)


def factor(y):
    """A normal mean, without a distribution for its data."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.factor("log_likelihood", -0.5 * jnp.sum(jnp.square(y - mu)))


def standardized(y):
    mu = numpyro.sample("mu", dist.Normal(1.0, 1.0))
    numpyro.sample("obs", dist.Normal(mu, 1.0), obs=(y - y.mean()) / y.std())


def masked(y, is_seen):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with handlers.mask(mask=is_seen), handlers.scale(scale=0.5):
        numpyro.sample("obs", dist.Normal(mu, 1.0), obs=y)


WHOLE = {
    "eight schools": (schools, {"sigma": ERRORS, "y": EFFECTS}),
    "sliced inside": (sliced, {"y": SERIES}),
    "scan of lax": (garch, {"y": SERIES}),
    "marginal Gaussian process": (gaussian_process, {"x": TIMES, "y": np.sin(TIMES)}),
    "scan of NumPyro": (local_level, {"y": SERIES[:6]}),
    "states along the data": (random_walk, {"y": SERIES[:6]}),
    "factor": (factor, {"y": SERIES}),
    "transformed data": (standardized, {"y": SERIES}),
    "masked and scaled": (masked, {"y": SERIES, "is_seen": SERIES > -1.0}),
}
"""Model and dataset, by what is odd about it."""
