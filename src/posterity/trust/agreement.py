"""A check that trusts no compiler: the log joint of a few draws, computed a second time by another road.

Importance weights and chains are as right as the log joint that they are made of, and compilers err: XLA's CPU fusions
have given densities that were off by thousands of nats for all draws beyond the 512th. A second program, compiled with
little effort for one draw at a time instead of all draws side by side, must agree within what rounding explains.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from posterity.model.dataset import Dataset
from posterity.model.problem import Problem
from posterity.runtime.compile import filter_jit

__all__ = ["NUM_LOOKED_AT", "disagreement", "log_joint_again", "worth_a_look"]

NUM_LOOKED_AT = 8  # draws of each dataset: half of them spread evenly, half those of the largest weights
LEAST, RELATIVE = 0.02, 1e-5  # nats, and of the summed sizes of all terms: float32 sums differ by less


def worth_a_look(log_ratios: Float[np.ndarray, " draw"]) -> np.ndarray:
    """Indices of the draws to look at twice, always as many for as many draws.

    Args:
        log_ratios: Log importance ratios.
    """
    num_draws = len(log_ratios)
    spread = np.linspace(0, num_draws - 1, NUM_LOOKED_AT // 2).round().astype(int)
    ranked = np.argsort(np.nan_to_num(log_ratios, nan=np.inf, neginf=-np.inf), kind="stable")
    largest = ranked[np.arange(-1, -1 - NUM_LOOKED_AT + len(spread), -1) % num_draws]
    return np.concatenate([spread, largest])


def log_joint_again(
    problem: Problem, dataset: Dataset, z: Float[np.ndarray, "draw latent"]
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Log joint of a few draws, one by one, and the summed sizes of the terms it is made of, in nats.

    Args:
        problem: The model.
        dataset: Padded dataset.
        z: Unconstrained draws.
    """
    total, size = _one_by_one(problem, dataset, jnp.asarray(z))
    return np.asarray(total), np.asarray(size)


@partial(filter_jit, quick=True)
def _one_by_one(problem: Problem, dataset: Dataset, z: Array) -> tuple[Array, Array]:
    def one(at: Array) -> tuple[Array, Array]:
        log_det, sites = problem.site_log_probs(at, dataset)
        total = sum((jnp.sum(value) for value in sites.values()), log_det)
        return total, sum((jnp.sum(jnp.abs(value)) for value in sites.values()), jnp.abs(log_det))

    return lax.map(one, z)


def disagreement(
    first: Float[np.ndarray, " draw"], second: Float[np.ndarray, " draw"], size: Float[np.ndarray, " draw"]
) -> str | None:
    """Why two computations of one log joint cannot both be right, as a sentence; None if rounding explains them.

    Args:
        first: Log joint as the answer uses it.
        second: The same by another road.
        size: Summed sizes of the terms.
    """
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(first.astype(np.float64) - second))
        wrong = ~(gaps <= LEAST + RELATIVE * size)
    if not wrong.any():
        return None
    worst = int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps) * wrong))
    return (
        f"The log joint of {int(wrong.sum())} of {len(first)} draws that were computed twice came out differently "
        f"({first[worst]:.6g} and {second[worst]:.6g} nats): the compiler or a library computes wrongly here, and no "
        "number of this answer can be relied on."
    )
