"""Each peer's own draws with their log densities, of which importance weights are made; no user needs these."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from peers.tasks import Data

__all__ = ["DENSITIES"]

Drawn = tuple[np.ndarray, np.ndarray]


def laplace(user: ModuleType, run: Any, data: Data, num_draws: int) -> Drawn:
    """Normal densities up to a constant."""
    mode, precision, draws = (np.asarray(leaf, np.float64) for leaf in user.approximation(run, data, num_draws))
    away = draws - mode[:, None]
    return draws, -0.5 * np.einsum("ndi,nij,ndj->nd", away, precision, away)


def bayesflow(user: ModuleType, workflow: Any, data: Data, num_draws: int) -> Drawn:
    """One dataset after the other: the public call wants its rows beside every draw."""
    draws, rows = user.answer(workflow, data, num_draws), user.rows(data)
    log_q = [
        workflow.log_prob({"theta": of_one, "rows": np.repeat(seen[None], num_draws, axis=0)})
        for of_one, seen in zip(draws, rows, strict=True)
    ]
    return draws, np.stack(log_q)


def sbi(user: ModuleType, posterior: Any, data: Data, num_draws: int) -> Drawn:
    """Nothing is cut off by the prior, so nothing is renormalised."""
    draws = user.answer(posterior, data, num_draws)
    log_q = posterior.log_prob_batched(np.swapaxes(draws, 0, 1), x=user.rows(data), norm_posterior=False)
    return draws, log_q.numpy().T


def posterity(user: ModuleType, estimator: Any, data: Data, num_draws: int) -> Drawn:
    """Draws of q before they are corrected."""
    proposals = [posterior.proposal for posterior in user.posteriors(estimator, data, num_draws)]
    flat = [np.column_stack([v.reshape(num_draws, -1) for v in one.draws.values()]) for one in proposals]
    return np.stack(flat), np.stack([one.log_q for one in proposals])


DENSITIES: dict[str, Callable[[ModuleType, Any, Data, int], Drawn]] = {
    "laplace": laplace,
    "bayesflow": bayesflow,
    "sbi": sbi,
    "posterity": posterity,
}
