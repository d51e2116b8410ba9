"""The tasks of the comparison, in NumPy, so that no peer is needed to make data or to judge draws.

T1: linear regression, 4 weights and an intercept, priors N(0, 1), noise sd 0.5. T2: logistic regression, 5 weights and
an intercept, priors N(0, 1). T3: mixture of two Gaussians of unit covariance and equal weights in the plane, priors
N(0, 1) on the four coordinates of the means: two equal modes. Always 64 rows and covariates from N(0, 1).
Draws are `(dataset, draw, latent)`: weights and then the intercept, or the first mean and then the second.
"""

import numpy as np

__all__ = ["NUM_LATENTS", "NUM_ROWS", "TASKS", "Data", "log_joint", "simulate"]

Data = dict[str, np.ndarray]

NUM_ROWS = 64
NUM_LATENTS = {"T1": 5, "T2": 6, "T3": 4}
TASKS = tuple(NUM_LATENTS)


def simulate(task: str, number: int, seed: int = 0) -> tuple[Data, np.ndarray]:
    """Datasets from the prior predictive, datasets first, and the latents that made them.

    Args:
        task: Name.
        number: Of datasets.
        seed: Decides them.
    """
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(number, NUM_LATENTS[task]))
    if task == "T3":
        means = latents.reshape(number, 2, 2)
        component = rng.integers(0, 2, (number, NUM_ROWS))
        x = means[np.arange(number)[:, None], component] + rng.normal(size=(number, NUM_ROWS, 2))
        return {"x": x.astype(np.float32)}, latents
    x = rng.normal(size=(number, NUM_ROWS, NUM_LATENTS[task] - 1))
    eta = predictor(x, latents[:, None])[:, 0]
    if task == "T1":
        y = (eta + 0.5 * rng.normal(size=eta.shape)).astype(np.float32)
    else:
        y = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(np.int32)
    return {"x": x.astype(np.float32), "y": y}, latents


def predictor(x: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Linear predictor, shape `(dataset, draw, row)`."""
    return np.einsum("nrf,ndf->ndr", x, draws[..., :-1]) + draws[..., -1:]


def log_joint(task: str, data: Data, draws: np.ndarray) -> np.ndarray:
    """Log prior plus log likelihood at each draw up to a constant, shape `(dataset, draw)`."""
    log_prior = -0.5 * np.sum(draws**2, axis=-1)
    if task == "T3":
        means = draws.reshape(*draws.shape[:2], 2, 1, 2)
        log_density = -0.5 * np.sum((data["x"][:, None, None] - means) ** 2, axis=-1)
        return log_prior + np.sum(np.logaddexp(log_density[:, :, 0], log_density[:, :, 1]), axis=-1)
    eta, y = predictor(data["x"], draws), data["y"][:, None]
    if task == "T1":
        return log_prior - 0.5 * np.sum(((y - eta) / 0.5) ** 2, axis=-1)
    return log_prior + np.sum(-np.logaddexp(0.0, np.where(y == 1, -eta, eta)), axis=-1)
