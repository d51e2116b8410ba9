"""Posteriors in closed form: the mean of a Gaussian, and linear regression with known noise."""

import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, Float

from posterity.model.dataset import Dataset
from study.datasets import TestSet

__all__ = ["exact_draws", "exact_log_prob", "exact_moments"]

LINEAR_NOISE_VARIANCE = 0.25


def exact_moments(test: TestSet) -> tuple[Float[Array, "dataset latent"], Float[Array, "dataset latent latent"]]:
    """Means and precisions over the active coordinates of z; priors are N(0, I), or as the model's option says."""
    moments = {"gaussian_mean": _gaussian_mean, "linear_regression_known_noise": _linear_regression}
    of_one, options = moments[test.model.name], getattr(test.model.function, "keywords", {})
    prior_precision = options.get("prior_sd", 1.0) ** -2
    whole_mean, whole_precision = vmap(lambda dataset: of_one(dataset, prior_precision))(test.datasets)
    return whole_mean[:, test.active], whole_precision[:, test.active][:, :, test.active]


def exact_log_prob(
    z: Float[Array, "*draw latent"], mean: Float[Array, " latent"], precision: Float[Array, "latent latent"]
) -> Float[Array, "*draw"]:
    """Log density of N(mean, precision^-1), in nats."""
    gaps = z - mean
    log_det = jnp.linalg.slogdet(precision)[1]
    return 0.5 * (log_det - len(mean) * jnp.log(2.0 * jnp.pi)) - 0.5 * jnp.einsum(
        "...i,ij,...j->...", gaps, precision, gaps
    )


def exact_draws(test: TestSet, num_draws: int, seed: int) -> Float[np.ndarray, "dataset draw latent"]:
    """Draws of the posterior; coordinates that datasets of this size do not have are 0."""
    mean, precision = exact_moments(test)

    def draw(key: Array, mean: Array, precision: Array) -> Array:
        noise = random.normal(key, (num_draws, mean.size))
        return mean + jnp.linalg.solve(jnp.linalg.cholesky(precision).T, noise.T).T

    keys = random.split(random.key(seed), len(mean))
    whole = np.zeros((len(mean), num_draws, test.model.space.size), np.float32)
    whole[..., test.active] = np.asarray(vmap(draw)(keys, mean, precision))
    return whole


def _gaussian_mean(dataset: Dataset, prior_precision: float) -> tuple[Array, Array]:
    num_obs = dataset.num_obs
    total = jnp.sum(jnp.where(dataset.row_mask[:, None], dataset.values["x"], 0.0), axis=0)
    precision = prior_precision + num_obs
    return total / precision, precision * jnp.eye(total.size)


def _linear_regression(dataset: Dataset, prior_precision: float) -> tuple[Array, Array]:
    """Z is (w, b); padded rows and absent columns hold zeros."""
    design = jnp.concatenate([dataset.values["x"], jnp.ones((len(dataset.row_mask), 1))], axis=1)
    design = jnp.where(dataset.row_mask[:, None], design, 0.0)
    precision = prior_precision * jnp.eye(design.shape[1]) + design.T @ design / LINEAR_NOISE_VARIANCE
    return jnp.linalg.solve(precision, design.T @ dataset.values["y"]) / LINEAR_NOISE_VARIANCE, precision
