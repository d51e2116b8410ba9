"""The ladder: weights where they are healthy, chains where they are not, tempering where chains disagree; a verdict.

Each rung costs more than the one before, and is climbed only by datasets for which that one did not do.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, PRNGKeyArray

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.status import working
from posterity.trust.chains import STUCK, WARMUP, run_chains
from posterity.trust.refinement import FEWEST, Budget, Refinement
from posterity.trust.target import Target
from posterity.trust.tempering import FEWEST_STAGES, MOVES, NUM_ISLANDS, NUM_PARTICLES, temper
from posterity.trust.verdict import Verdict, judge, judge_refined
from posterity.trust.weights import ImportanceWeights

__all__ = ["Climbed", "climb", "refine"]


class Climbed(NamedTuple):
    """How far one dataset got.

    Attributes:
        verdict: The verdict.
        reasons: For it, in full sentences.
        refinement: What sampling came to; None where it was not tried.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    refinement: Refinement | None


def climb(
    model: Model,
    dataset: Dataset,
    z: Float[np.ndarray, "draw latent"],
    weights: ImportanceWeights,
    envelope_reasons: Sequence[str],
    rng_key: Callable[[], PRNGKeyArray],
    budget: Budget | None,
) -> Climbed:
    """Judges the weights of one dataset, and samples where they will not do.

    Args:
        model: The model.
        dataset: Padded dataset.
        z: Unconstrained draws of q.
        weights: Of these draws.
        envelope_reasons: Sentences about data outside the training envelope.
        rng_key: Makes the key that is consumed here, if it is needed: that takes a millisecond.
        budget: Time for sampling, and what to reach; no sampling if None.
    """
    verdict, reasons = judge(weights, envelope_reasons)
    if verdict != "untrusted" or budget is None:
        return Climbed(verdict, reasons, None)
    found = refine(Target(model, jax.device_put(dataset)), z, weights.log_weights, rng_key(), budget)
    return Climbed(*judge_refined(weights, found, envelope_reasons), found)


def refine(
    target: Target,
    z: Float[np.ndarray, "draw latent"],
    log_weights: Float[np.ndarray, " draw"],
    rng_key: PRNGKeyArray,
    budget: Budget,
) -> Refinement:
    """Chains from q; if they stick in different modes, tempering in the time that is left.

    Args:
        target: The posterior.
        z: Unconstrained draws of q.
        log_weights: Their normalised importance weights, healthy or not.
        rng_key: Consumed here.
        budget: Time for both together, compilation excluded, and what to reach.
    """
    key_chains, key_tempering = random.split(rng_key)
    with working("compiling the chains"):
        _compile("chains", *_shapes_of((target, z)))
    with working("sampling by chains from q on"):
        found = run_chains(target, z, log_weights, key_chains, budget)
    left = budget.seconds - found.seconds
    if not found.max_r_hat > STUCK or left < _least_time_for_tempering(found):
        return found
    with working("compiling the tempering"):
        _compile("tempering", *_shapes_of((target, z)))
    with working("sampling by tempering from q on"):
        tempered = temper(target, z, key_tempering, dataclasses.replace(budget, seconds=left))
    tempered = dataclasses.replace(tempered, seconds=found.seconds + tempered.seconds)
    if tempered.problems:
        return dataclasses.replace(tempered, problems=(*found.problems, *tempered.problems))
    return tempered


def _least_time_for_tempering(chains: Refinement) -> float:
    """Seconds that a few stages will take, judged by what steps of the chains took."""
    num_chains, num_steps = chains.z.shape[:2]
    per_step = chains.seconds / (num_chains * (num_steps + sum(WARMUP)))
    return per_step * NUM_ISLANDS * NUM_PARTICLES * MOVES * FEWEST_STAGES


def _shapes_of(arrays: Any) -> tuple[Any, tuple[Any, ...]]:
    leaves, structure = jax.tree.flatten(arrays)
    return structure, tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)


@lru_cache(maxsize=256)
def _compile(sampler: str, structure: Any, shapes: tuple[Any, ...]) -> None:
    """Runs a sampler shortly on arrays of these shapes, once, so that no compilation falls into a budget."""
    target, z = jax.tree.unflatten(structure, [jnp.zeros(shape, dtype) for shape, dtype in shapes])
    target = eqx.tree_at(lambda t: t.mask, target, jnp.ones_like(target.mask))
    draws = np.random.default_rng(0).normal(size=z.shape).astype(np.float32)
    if sampler == "chains":
        equal = np.full(len(draws), -np.log(len(draws)))
        run_chains(target, draws, equal, random.key(0), Budget(np.inf, most_steps=FEWEST))
    else:
        temper(target, draws, random.key(0), Budget(np.inf, most_steps=1))
