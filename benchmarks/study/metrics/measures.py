"""How good draws are: the paper's metrics as it defines them, and those that it lacks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, vmap
from jaxtyping import Array, Float

from posterity.calibration.judgement import central_coverage
from posterity.calibration.uniformity import uniformity_p_value
from posterity.runtime.compile import jit
from posterity.trust.weights import ess_fraction, pareto_smoothed_many
from study.datasets import TestSet
from study.metrics.exact import exact_log_prob, exact_moments
from study.metrics.predictive import predict_rows
from study.presets import Preset
from study.settings import Score

__all__ = ["NUM_PREDICTIVE", "Metrics", "of_draws", "predictive", "summary", "symmetric_kl", "weights"]

NUM_PREDICTIVE = 25
"""Draws that predict, as in the paper."""

Metrics = dict[str, dict[str, Any]]
Draws = Float[np.ndarray, "dataset draw latent"]


def summary(values: Any) -> dict[str, float]:
    """Mean over datasets with its standard error."""
    values = np.asarray(values, np.float64)
    return {"mean": float(values.mean()), "se": float(values.std(ddof=1) / np.sqrt(values.size))}


def with_values(values: Any) -> dict[str, Any]:
    """`summary`, and the values themselves to four digits, so that methods can be compared dataset by dataset."""
    return summary(values) | {"by_dataset": [float(f"{value:.4g}") for value in np.asarray(values, np.float64)]}


def of_draws(test: TestSet, draws: Draws, score: Score, reference: Draws | None, sizes: Preset) -> Metrics:
    """All that draws tell without their density: predictions, calibration, and W2 where there is a reference."""
    metrics = predictive(test, draws, score)
    if np.isfinite(np.asarray(test.z)).all():
        metrics |= calibration(test, draws)
    if reference is not None:
        metrics |= w2(test, draws, reference, sizes.w2_datasets, sizes.w2_draws)
    return metrics


def predictive(test: TestSet, draws: Draws, score: Score) -> Metrics:
    """Expected predictive loss or accuracy, that of the averaged prediction, and log predictive density.

    The first is averaged over single draws (paper, App. D, eq. 15): not the loss of a posterior's prediction, and
    lowest for a posterior that is too narrow. In percent for accuracy. `log_predictive` is in nats per held-out row.
    Both of these with their value on each dataset.
    """
    found = [np.asarray(part, np.float64) for part in _predictive(test, jnp.asarray(draws[:, :NUM_PREDICTIVE]), score)]
    scale = 100.0 if score == "accuracy" else 1.0
    metrics = {score: with_values(scale * found[0]), "log_predictive": with_values(found[1])}
    if np.isfinite(found[2]).all():
        metrics[f"{score}_ensemble"] = summary(scale * found[2])
    return metrics


def _predictive(test: TestSet, draws: Array, score: Score) -> tuple[Array, Array, Array]:
    model, (site,) = test.model, test.model.data_sites

    @jit
    def every(draws: Array, held_out: Any) -> tuple[Array, Array, Array]:
        def one(inputs: Any) -> tuple[Array, Array, Array]:
            z, rows = inputs
            found = vmap(lambda each: predict_rows(model, each, rows))(z)
            log_mean = jax.nn.logsumexp(found.log_prob, axis=0) - jnp.log(len(z))
            averaged = jnp.mean(found.prediction, axis=0)
            observed = rows.values[site.argument]
            if not averaged.size:
                together = jnp.nan
            elif score == "accuracy":
                together = jnp.mean(jnp.argmax(averaged, axis=-1) == observed)
            else:
                together = jnp.sum(jnp.square(averaged - observed)) / len(observed)
            return jnp.mean(found.score), jnp.mean(log_mean), together

        return lax.map(one, (draws, held_out))

    return every(draws, test.held_out)


def symmetric_kl(test: TestSet, draws: Draws, log_q: Array, exact: Draws, log_q_at_exact: Array) -> Metrics:
    r"""$\frac12 (\mathrm{KL}(p \| q) + \mathrm{KL}(q \| p)) / P$ against the closed form, by draws of both; nats."""
    mean, precision = exact_moments(test)
    log_prob = vmap(exact_log_prob)
    reverse = np.mean(np.asarray(log_q) - np.asarray(log_prob(draws[..., test.active], mean, precision)), axis=1)
    at_exact = np.asarray(log_prob(exact[..., test.active], mean, precision))
    forward = np.mean(at_exact - np.asarray(log_q_at_exact), axis=1)
    return {
        "symmetric_kl_per_latent": summary(0.5 * (forward + reverse) / len(test.active)),
        "forward_kl": summary(forward),
        "reverse_kl": summary(reverse),
    }


def w2(test: TestSet, draws: Draws, reference: Draws, num_datasets: int, num_draws: int) -> Metrics:
    """2-Wasserstein distance (not squared) to draws of a reference, by exact optimal transport.

    Finite samples of one distribution are apart, too: `w2_floor` is the distance of two sets of the reference.
    """
    import ot

    def distance(first: np.ndarray, second: np.ndarray) -> float:
        costs = ot.dist(first[:, test.active].astype(np.float64), second[:, test.active].astype(np.float64))
        return float(np.sqrt(ot.emd2([], [], costs, numItermax=2_000_000)))

    number = min(num_datasets, len(draws))
    found = [distance(draws[i, :num_draws], reference[i, :num_draws]) for i in range(number)]
    floor = [distance(reference[i, num_draws:], reference[i, :num_draws]) for i in range(number)]
    return {"w2": summary(found), "w2_floor": summary(floor)}


def weights(log_joint: np.ndarray, log_q: np.ndarray) -> Metrics:
    """What importance weights say of q: effective sample size as a share, k-hat, and the evidence bound."""
    ratios = np.asarray(log_joint, np.float64) - np.asarray(log_q, np.float64)
    shapes = np.array([found.pareto_k for found in pareto_smoothed_many(ratios)])
    threshold = min(0.7, 1.0 - 1.0 / np.log10(ratios.shape[1]))
    return {
        "ess": summary([ess_fraction(row) for row in ratios]),
        "ess_median": {"mean": float(np.median([ess_fraction(row) for row in ratios])), "se": None},
        "k_ok": summary(shapes <= threshold),
        "elbo": summary(ratios.mean(axis=1)),
    }


def calibration(test: TestSet, draws: Draws) -> Metrics:
    """Coverage of central 90% intervals, and the p-value of uniform ranks (SBC, times the number of latents)."""
    kept, truth = draws[..., test.active], np.asarray(test.z)[:, None, test.active]
    ranks = (np.sum(kept < truth, axis=1) + 0.5) / (kept.shape[1] + 1.0)
    cover = central_coverage(ranks, 0.9)
    p_values = [uniformity_p_value(column) for column in ranks.T]
    return {
        "coverage_90": {"mean": cover.mean, "se": cover.error},
        "sbc_p": {"mean": min(1.0, min(p_values) * len(p_values)), "se": None},
    }
