"""NumPyro's NUTS, vmapped over datasets and compiled."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS


def linear(x, y=None):
    """T1."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ w + b, 0.5), obs=y)


def logistic(x, y=None):
    """T2."""
    w = numpyro.sample("w", dist.Normal(jnp.zeros(x.shape[1]), 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("y", dist.Bernoulli(logits=x @ w + b), obs=y)


def mixture(x):
    """T3."""
    mu = numpyro.sample("mu", dist.Normal(jnp.zeros((2, 2)), 1.0).to_event(2))
    components = dist.Normal(mu, 1.0).to_event(1)
    with numpyro.plate("rows", x.shape[0]):
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(probs=jnp.full(2, 0.5)), components), obs=x)


def prepare(task, example, epochs):
    """A compiled function of keys, data and the number of draws."""
    model = {"T1": linear, "T2": logistic, "T3": mixture}[task]

    def run(key, data, num_draws):
        mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=num_draws, progress_bar=False)
        mcmc.run(key, **data)
        return mcmc.get_samples()

    return jax.jit(jax.vmap(run, in_axes=(0, 0, None)), static_argnums=2)


def answer(run, data, num_draws):
    """Draws of every dataset."""
    found = run(jax.random.split(jax.random.key(0), len(data["x"])), data, num_draws)
    if "mu" in found:
        return found["mu"].reshape(len(data["x"]), num_draws, -1)
    return jnp.concatenate([found["w"], found["b"][..., None]], axis=-1)
