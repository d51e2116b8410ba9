"""A check that trusts no compiler: the log joint of a few draws, computed a second time by another road.

Importance weights and chains are as right as the log joint that they are made of, and compilers err: XLA's CPU fusions
have given densities that were off by thousands of nats for all draws beyond the 512th. A second program, compiled with
little effort for one draw at a time instead of all draws side by side, must agree within what rounding explains.

It computes with 64 bits, on the data as they were given, so that it also tells where 32 bits are too few: where they
round the log joint by so much that weights suffer, or overflow, or where few numbers lie between neighbouring draws.
A model that cannot be computed with 64 bits is looked at with 32.
"""

from functools import partial
from weakref import WeakSet

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit
from posterity.runtime.precision import narrowed, precision

__all__ = [
    "NUM_LOOKED_AT",
    "disagreement",
    "is_one_of_few",
    "log_joint_again",
    "may_be_one_of_few",
    "runs_with_64_bits",
    "say_the_same",
    "too_coarse",
    "worth_a_look",
]

NUM_LOOKED_AT = 8  # draws of each dataset: half of them spread evenly, half those of the largest weights
NUM_FOR_SD = 100  # draws
NOISE, FEW = 0.2, 0.02  # nats by which rounding may move weights; of an sd
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
    model: Model, places: Dataset, z: Float[np.ndarray, "dataset draw latent"]
) -> tuple[Float[np.ndarray, "dataset draw"], Float[np.ndarray, "dataset draw"]]:
    """Log joint of a few draws of some datasets, one by one, and the summed sizes of the terms it is made of, in nats.

    Args:
        model: The model.
        places: The datasets as a batch with 64 bits, see `stack_places`.
        z: Unconstrained draws, as many for each dataset.
    """
    count = len(z)
    missing = len(places.row_mask) - count
    filled = np.concatenate([z, np.broadcast_to(z[:1], (missing, *z.shape[1:]))]).astype(np.float64)
    if runs_with_64_bits(model):
        try:
            return _computed(model, places, filled, count, double=True)
        except (TypeError, ValueError):  # as JAX says it of arrays that do not go together; what else fails is raised
            _needs_32_bits.add(model)
    return _computed(model, jax.tree.map(narrowed, places), narrowed(filled), count, double=False)


_needs_32_bits: WeakSet[Model] = WeakSet()


def runs_with_64_bits(model: Model) -> bool:
    """False once a model was found to fail there: arrays of its own that have 32 bits may not go with others of 64."""
    return model not in _needs_32_bits


def _computed(
    model: Model, places: Dataset, z: np.ndarray, count: int, *, double: bool
) -> tuple[np.ndarray, np.ndarray]:
    with precision(double):
        total, size = _one_by_one(model, places, jnp.asarray(z), jnp.asarray(count))
        return np.asarray(total)[:count], np.asarray(size)[:count]


@partial(filter_jit, effort="little")
def _one_by_one(model: Model, places: Dataset, z: Array, count: Array) -> tuple[Array, Array]:
    num_draws = z.shape[1]

    def step(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        where = i // num_draws, i % num_draws
        dataset = jax.tree.map(lambda leaf: leaf[where[0]], places)
        log_det, sites = model.site_log_probs(z[where], dataset)
        total = sum((jnp.sum(value) for value in sites.values()), log_det)
        size = sum((jnp.sum(jnp.abs(value)) for value in sites.values()), jnp.abs(log_det))
        return found[0].at[where].set(total), found[1].at[where].set(size)

    return lax.fori_loop(0, count * num_draws, step, (jnp.zeros(z.shape[:2]), jnp.zeros(z.shape[:2])))


def too_coarse(first: Float[np.ndarray, " draw"], second: Float[np.ndarray, " draw"]) -> bool:
    """Whether the first log joint, rounded to 32 bits, gives other weights than the second: a common shift gives none.

    Args:
        first: Log joint as the answer uses it.
        second: With 64 bits.
    """
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return bool(np.isfinite(second).any())
    gaps = first[both].astype(np.float64) - second[both]
    return bool(np.ptp(gaps) > NOISE) or bool(np.any(np.isfinite(second) & ~both))


def is_one_of_few(z: Float[np.ndarray, "draw latent"]) -> bool:
    """Whether neighbouring floats of 32 bits are so far apart, in sds of the draws, that few lie between them."""
    if z.dtype != np.float32:
        return False
    sds = z.std(axis=0, dtype=np.float64)
    return bool(np.any((np.spacing(np.abs(z).max(axis=0)) > FEW * sds) & (sds > 0.0)))


def may_be_one_of_few(z: Float[np.ndarray, "dataset draw latent"]) -> Bool[np.ndarray, " dataset"]:
    """Where `is_one_of_few` is not out of the question, as far as the sds of some draws tell.

    Args:
        z: With 32 bits.
    """
    largest = np.maximum(z.max(axis=1), -z.min(axis=1))
    sds = z[:, :NUM_FOR_SD].std(axis=1)
    return np.any((np.spacing(largest) > 0.25 * FEW * sds) & (sds > 0.0), axis=1)


def say_the_same(
    first: Float[np.ndarray, "dataset draw"],
    second: Float[np.ndarray, "dataset draw"],
    size: Float[np.ndarray, "dataset draw"],
) -> Bool[np.ndarray, " dataset"]:
    """Where two computations of finite log joints agree so well that neither `disagreement` nor `too_coarse` objects.

    Args:
        first: Log joint as the answers use it.
        second: The same by another road.
        size: Summed sizes of the terms.
    """
    gaps = first.astype(np.float64) - second
    with np.errstate(invalid="ignore"):
        is_right = np.all(np.abs(gaps) <= LEAST + RELATIVE * size, axis=1)
        return is_right & (np.ptp(gaps, axis=1) <= NOISE)


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
