"""Posterity: nothing trained, answers corrected and judged."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import posterity


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
    """The estimator of a model."""
    return posterity.informed({"T1": linear, "T2": logistic, "T3": mixture}[task], like=example)


def posteriors(estimator, data, num_draws):
    """Checked posteriors of every dataset."""
    datasets = [{name: values[i] for name, values in data.items()} for i in range(len(data["x"]))]
    return estimator.infer_each(datasets, num_draws=num_draws)


def answer(estimator, data, num_draws):
    """Draws of every dataset."""
    found = posteriors(estimator, data, num_draws)
    return np.stack([np.column_stack([d.reshape(num_draws, -1) for d in post.draws.values()]) for post in found])
