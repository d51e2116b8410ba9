"""How far q is from a known posterior: Gaussian divergences, importance ESS, classifier two-sample tests."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, Float

__all__ = ["c2st", "gaussian_posterior_metrics", "linear_posterior", "moments", "summary"]

Design = Float[Array, "obs latent"]


def linear_posterior(design: Design, y: Array, noise_sd: float) -> tuple[Array, Array]:
    """Mean and precision of the weights of a linear regression with N(0, I) prior and known noise."""
    precision = jnp.eye(design.shape[1]) + design.T @ design / noise_sd**2
    return jnp.linalg.solve(precision, design.T @ y) / noise_sd**2, precision


def gaussian_posterior_metrics(
    q: object, mean: Array, precision: Array, rng_key: Array, num_draws: int = 1000
) -> dict[str, Array]:
    """Divergences of q from the exact N(mean, precision^-1), for one dataset; `vmap` or `lax.map` it.

    Returns:
        `forward_kl` = KL(p||q) and `reverse_kl` = KL(q||p) in nats (Monte Carlo), `ess` as a share of the draws,
        `sd_ratio` = mean sd(q) / sd(p), `mean_error` = rms error of the mean in posterior sds.
    """
    key_q, key_p = random.split(rng_key)
    size = mean.shape[0]
    covariance = jnp.linalg.inv(precision)
    log_det = jnp.linalg.slogdet(precision)[1]

    def log_p(z: Array) -> Array:
        return -0.5 * (z - mean) @ precision @ (z - mean) + 0.5 * log_det - 0.5 * size * jnp.log(2 * jnp.pi)

    z, log_q = q.sample_and_log_prob(key_q, num_draws)  # type: ignore[attr-defined]
    exact = mean + random.normal(key_p, (num_draws, size)) @ jnp.linalg.cholesky(covariance).T
    ratios = vmap(log_p)(z) - log_q
    weights = jax.nn.softmax(ratios)
    sds = jnp.sqrt(jnp.diag(covariance))
    return {
        "forward_kl": jnp.mean(vmap(log_p)(exact) - vmap(q.log_prob)(exact)),  # type: ignore[attr-defined]
        "reverse_kl": -jnp.mean(ratios),
        "ess": 1.0 / jnp.sum(weights**2) / num_draws,
        "sd_ratio": jnp.mean(jnp.std(z, axis=0) / sds),
        "mean_error": jnp.sqrt(jnp.mean(((jnp.mean(z, axis=0) - mean) / sds) ** 2)),
    }


def c2st(first: np.ndarray, second: np.ndarray, *, seed: int = 0, max_epochs: int = 200) -> float:
    """Classifier two-sample test: 5-fold accuracy of an MLP (10 x dim, twice) on two samples; 0.5 is best."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, sd = second.mean(axis=0), second.std(axis=0)
    data = np.concatenate([(first - mean) / sd, (second - mean) / sd])
    labels = np.repeat([0, 1], [len(first), len(second)])
    width = 10 * first.shape[1]
    classifier = MLPClassifier(hidden_layer_sizes=(width, width), max_iter=max_epochs, random_state=seed)
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    return float(cross_val_score(classifier, data, labels, cv=folds, scoring="accuracy").mean())


def moments(draws: np.ndarray, log_weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of every scalar of a latent, in the shape of one draw.

    Args:
        draws: Draws first.
        log_weights: Normalised; None weighs all draws alike.
    """
    number, *shape = np.shape(draws)
    columns = np.reshape(np.asarray(draws, np.float64), (number, -1))
    weights = np.full(number, 1.0 / number) if log_weights is None else np.exp(log_weights)
    mean = weights @ columns
    sd = np.sqrt(weights @ (columns - mean) ** 2)
    return np.reshape(mean, shape), np.reshape(sd, shape)


def summary(values: np.ndarray | Array) -> dict[str, float]:
    """Mean with its standard error, median, 5% and 95% quantiles over datasets."""
    values = np.asarray(values, np.float64)
    return {
        "mean": float(values.mean()),
        "se": float(values.std() / np.sqrt(len(values))),
        "median": float(np.median(values)),
        "q05": float(np.quantile(values, 0.05)),
        "q95": float(np.quantile(values, 0.95)),
    }
