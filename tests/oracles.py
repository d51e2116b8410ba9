"""Closed-form posteriors of the conjugate models, and divergences between Gaussians, in float64."""

from collections.abc import Mapping

import numpy as np

__all__ = ["gaussian_kl", "gaussian_mean_posterior", "linear_regression_posterior"]


def gaussian_mean_posterior(
    x: np.ndarray, *, prior_sd: float = 1.0, noise_sd: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of mu given rows x: precision n / noise_sd^2 + 1 / prior_sd^2 in each dimension."""
    x = np.asarray(x, np.float64)
    variance = 1.0 / (x.shape[0] / noise_sd**2 + 1.0 / prior_sd**2)
    return variance * x.sum(axis=0) / noise_sd**2, variance * np.eye(x.shape[1])


def linear_regression_posterior(
    dataset: Mapping[str, np.ndarray], *, prior_sd: float = 1.0, noise_sd: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (w, b): precision I / prior_sd^2 + X'X / noise_sd^2, X with a column of ones."""
    x, y = np.asarray(dataset["x"], np.float64), np.asarray(dataset["y"], np.float64)
    design = np.column_stack([x, np.ones(len(x))])
    precision = np.eye(design.shape[1]) / prior_sd**2 + design.T @ design / noise_sd**2
    covariance = np.linalg.inv(precision)
    return covariance @ design.T @ y / noise_sd**2, covariance


def gaussian_kl(mean_p: np.ndarray, covariance_p: np.ndarray, mean_q: np.ndarray, covariance_q: np.ndarray) -> float:
    """KL(p || q) between two Gaussians, in nats."""
    precision_q = np.linalg.inv(covariance_q)
    gap = mean_q - mean_p
    log_dets = np.linalg.slogdet(covariance_q)[1] - np.linalg.slogdet(covariance_p)[1]
    return 0.5 * float(np.trace(precision_q @ covariance_p) + gap @ precision_q @ gap - len(gap) + log_dets)
