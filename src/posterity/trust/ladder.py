"""The ladder: weights where they are healthy, chains where they are not, tempering where chains disagree; a verdict.

Each rung costs more than the one before, and is climbed only by datasets for which that one did not do.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, PRNGKeyArray

from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.status import working
from posterity.trust.chains import NUM_CHAINS, STUCK, WARMUP, compile_chains, run_chains
from posterity.trust.refinement import Budget, Clock, Refinement, unsettled
from posterity.trust.target import Target
from posterity.trust.tempering import (
    FEWEST_STAGES,
    MOVES,
    NUM_ISLANDS,
    NUM_PARTICLES,
    compile_tempering,
    temper,
)
from posterity.trust.verdict import Verdict, judge, judge_refined
from posterity.trust.weights import ImportanceWeights

__all__ = ["Climbed", "climb", "refine"]

_known: set[Any] = set()  # samplers and shapes whose programs are compiled
_pace = {"seconds": 0.01}  # that an operation of the gradient takes to compile; of the last one once there was one


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
    start: Callable[[], Float[np.ndarray, "draw latent"]],
    weights: ImportanceWeights,
    envelope_reasons: Sequence[str],
    rng_key: Callable[[], PRNGKeyArray],
    budget: Budget | None,
) -> Climbed:
    """Judges the weights of one dataset, and samples where they will not do.

    Args:
        model: The model.
        dataset: Padded dataset.
        start: Makes unconstrained draws of equal weight to start from, if they are needed.
        weights: Of the draws of q.
        envelope_reasons: Sentences about data outside the training envelope.
        rng_key: Makes the key that is consumed here, if it is needed: that takes a millisecond.
        budget: Time for sampling, and what to reach; no sampling if None.
    """
    verdict, reasons = judge(weights, envelope_reasons)
    if verdict != "untrusted" or budget is None:
        return Climbed(verdict, reasons, None)
    z = start()
    equal = np.full(len(z), -np.log(len(z)))
    found = refine(Target(model, jax.device_put(dataset)), z, equal, rng_key(), budget)
    return Climbed(*judge_refined(weights, found, envelope_reasons), found)


def refine(
    target: Target,
    z: Float[np.ndarray, "draw latent"],
    log_weights: Float[np.ndarray, " draw"],
    rng_key: PRNGKeyArray,
    budget: Budget,
) -> Refinement:
    """Chains from q; if they stick in different modes, tempering in the time that is left.

    Nothing is begun that could not end in time. What cannot be interrupted, a compilation, is not begun if it would
    take longer than there is time, as far as can be told from the size of the model's gradient.

    Args:
        target: The posterior.
        z: Unconstrained draws of q.
        log_weights: Their normalised importance weights, healthy or not.
        rng_key: Consumed here.
        budget: Time for all together, compilation included, and what to reach.

    Returns:
        The sampler that converged; else the last one that has draws, with the problems of all.
    """
    clock = Clock(budget.seconds)
    key_chains, key_tempering = random.split(rng_key)
    missing = _compiled("chains", target, z, clock.left)
    if missing is not None:
        return dataclasses.replace(unsettled("chains", NUM_CHAINS, z.shape[1], budget, 0.0), problems=(missing,))
    with working("sampling by chains from q on"):
        found = run_chains(target, z, log_weights, key_chains, dataclasses.replace(budget, seconds=clock.left))
    if not found.has_draws and clock.elapsed > found.seconds + 0.1:
        spent = f"Compiling took {clock.elapsed - found.seconds:.1f} s."
        return dataclasses.replace(found, problems=(*found.problems, spent))
    if not found.max_r_hat > STUCK:
        return found
    if clock.left < _least_time_for_tempering(found):
        missing = f"Tempering was not begun: {max(clock.left, 0.0):.1f} s were left."
    else:
        missing = _compiled("tempering", target, z, clock.left)
    if missing is not None:
        return dataclasses.replace(found, problems=(*found.problems, missing))
    with working("sampling by tempering from q on"):
        tempered = temper(target, z, key_tempering, dataclasses.replace(budget, seconds=clock.left))
    # What is too narrow for chains is too narrow for particles: where chains diverged, these only avoid it.
    if not tempered.problems and found.divergent <= budget.max_divergent:
        return dataclasses.replace(tempered, seconds=found.seconds + tempered.seconds)
    best = tempered if tempered.has_draws else found
    problems, seconds = (*found.problems, *tempered.problems), found.seconds + tempered.seconds
    return dataclasses.replace(best, problems=problems, seconds=seconds)


def _least_time_for_tempering(chains: Refinement) -> float:
    """Seconds that a few stages will take, judged by what steps of the chains took."""
    num_chains, num_steps = chains.z.shape[:2]
    per_step = chains.seconds / (num_chains * (num_steps + sum(WARMUP)))
    return per_step * NUM_ISLANDS * NUM_PARTICLES * MOVES * FEWEST_STAGES


def _compiled(sampler: str, target: Target, z: Float[np.ndarray, "draw latent"], seconds: float) -> str | None:
    """None once a sampler's programs are compiled; why not, as a sentence, where that would take too long."""
    leaves, structure = jax.tree.flatten((target, z))
    key = sampler, structure, tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)
    if key in _known:
        return None
    with working(f"compiling the {sampler}"):
        started = time.perf_counter()
        lines = _num_operations(target)
        expected = _pace["seconds"] * lines
        if expected > seconds:
            _pace["seconds"] *= 0.8  # one slow compilation must not refuse all that follow
            return (
                f"Sampling by {sampler} was not begun: {max(seconds, 0.0):.1f} s were left of the time given, and its "
                f"programs take some {expected:.1f} s to compile."
            )
        {"chains": compile_chains, "tempering": compile_tempering}[sampler](target, z)
        import arviz_stats.base.array  # noqa: F401 - which judges the draws, and takes a second

        _pace["seconds"] = (time.perf_counter() - started) / lines
    _known.add(key)
    return None


def _num_operations(target: Target) -> int:
    """Operations in the gradient of the log joint, which is most of what is compiled."""
    traced = jax.make_jaxpr(jax.value_and_grad(target.log_density))(jnp.zeros(target.mask.shape))
    return str(traced).count(" = ")
