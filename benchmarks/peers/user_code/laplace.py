"""Plain Laplace approximation in JAX, vmapped over datasets and compiled."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.optimize import minimize
from jax.scipy.stats import norm


def linear(theta, x, y):
    """Log likelihood of T1."""
    return norm.logpdf(y, x @ theta[:-1] + theta[-1], 0.5).sum()


def logistic(theta, x, y):
    """Log likelihood of T2."""
    return jax.nn.log_sigmoid((2 * y - 1) * (x @ theta[:-1] + theta[-1])).sum()


def mixture(theta, x):
    """Log likelihood of T3."""
    log_density = norm.logpdf(x, theta.reshape(2, 1, 2), 1.0).sum(-1)
    return jax.scipy.special.logsumexp(log_density - jnp.log(2.0), axis=0).sum()


def prepare(task, example, epochs):
    """A compiled function of keys, data and the number of draws; it gives modes, precisions and draws."""
    log_likelihood = {"T1": linear, "T2": logistic, "T3": mixture}[task]
    size = {"T1": 5, "T2": 6, "T3": 4}[task]

    def run(key, data, num_draws):
        def energy(theta):
            return -log_likelihood(theta, **data) - norm.logpdf(theta).sum()

        key_start, key_draws = jax.random.split(key)
        mode = minimize(energy, jax.random.normal(key_start, (size,)), method="BFGS").x
        precision = jax.hessian(energy)(mode)
        noise = jax.random.normal(key_draws, (size, num_draws))
        draws = mode + solve_triangular(jnp.linalg.cholesky(precision).T, noise).T
        return mode, precision, draws

    return jax.jit(jax.vmap(run, in_axes=(0, 0, None)), static_argnums=2)


def approximation(run, data, num_draws):
    """Modes, precisions and draws of every dataset."""
    return run(jax.random.split(jax.random.key(0), len(data["x"])), data, num_draws)


def answer(run, data, num_draws):
    """Draws of every dataset."""
    return approximation(run, data, num_draws)[2]
