"""Checks by numbers, before anything is trained: finite densities, independent rows, plates that mask away."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array
from numpyro import handlers
from numpyro.infer.util import compute_log_probs

from posterity.checks import InputError
from posterity.dataset import Dataset
from posterity.problem.plates import resize
from posterity.problem.problem import Problem

__all__ = ["check_problem"]

# Float32 sums of a few hundred terms agree to about 1e-5 of their absolute sum; a mask that leaks is off by more.
TOLERANCE = 1e-3


def check_problem(problem: Problem) -> None:
    """Simulates a few datasets and compares densities that must agree.

    Raises:
        InputError: The log joint is not finite, a row's likelihood depends on other rows, or a variable plate
            does not vanish where it is masked.
    """
    num_rows = int(np.clip(problem.envelope.rows[0], 4, 16))
    full = problem.capacity
    for seed in range(2):
        probe = _probe(problem, num_rows, full, seed)
        _check_finite(problem, probe)
        _check_rows_independent(problem, probe)
        for plate, (low, high) in problem.envelope.plates.items():
            if low < high:
                _check_plate(problem, plate, _probe(problem, num_rows, {**full, plate: low}, seed), low)


@dataclasses.dataclass(frozen=True)
class _Probe:
    """One simulated dataset and the densities computed on it."""

    dataset: Dataset
    z: Array
    log_prior: Array
    rows: Array
    half_rows: Array
    gradient: Array
    site_log_probs: dict[str, Array]


def _probe(problem: Problem, num_rows: int, sizes: Mapping[str, int], seed: int) -> _Probe:
    dataset, z, *numbers = _probe_numbers(problem, num_rows, problem.plate_masks(sizes), random.key(seed))
    return _Probe(dataset, z, *numbers)


@partial(jax.jit, static_argnums=(0, 1))
def _probe_numbers(problem: Problem, num_rows: int, masks: Mapping[str, Array], rng_key: Array) -> tuple:
    dataset, z = problem.simulate(rng_key, jnp.ones(num_rows, bool), masks)
    half = num_rows // 2
    part = Dataset(
        {name: value[:half] for name, value in dataset.values.items()}, dataset.row_mask[:half], dataset.plate_masks
    )
    log_prior, rows = problem.log_prior_and_likelihood(z, dataset)
    half_rows = problem.log_likelihood(z, part)
    gradient = jax.grad(problem.log_joint)(z, dataset)
    model = handlers.seed(problem.model, random.key(0))
    sites, _ = compute_log_probs(model, (), dataset.values, problem.space.constrain(z), sum_log_prob=False)
    return dataset, z, log_prior, rows, half_rows, gradient, sites


def _check_finite(problem: Problem, probe: _Probe) -> None:
    if not bool(jnp.isfinite(probe.log_prior) & jnp.all(jnp.isfinite(probe.rows))):
        bad = [name for name, value in probe.site_log_probs.items() if not bool(jnp.all(jnp.isfinite(value)))]
        raise InputError(
            f"model '{problem.name}': the log joint is not finite at a draw from its own prior; look at site "
            f"{', '.join(repr(name) for name in bad) or 'bijector'} (overflowing rates, scales that reach 0?)"
        )
    if not bool(jnp.all(jnp.isfinite(probe.gradient))):
        raise InputError(
            f"model '{problem.name}': the gradient of its log joint is not finite at a draw from its own prior"
        )


def _check_rows_independent(problem: Problem, probe: _Probe) -> None:
    """The likelihood of the first half of the rows must not notice that the other half has gone."""
    whole_rows = probe.rows[: probe.half_rows.shape[0]]
    tolerance = TOLERANCE * (1.0 + jnp.abs(whole_rows))
    if not bool(jnp.all(jnp.abs(whole_rows - probe.half_rows) <= tolerance)):
        raise InputError(
            f"model '{problem.name}': a row's likelihood changes when other rows are left out, so rows are not "
            "exchangeable. Quantities such as x.mean(0) must be computed before the model is called"
        )


def _check_plate(problem: Problem, plate: str, probe: _Probe, size: int) -> None:
    """Masking a plate must give the densities of a model that never had the masked entries."""
    reduced, magnitude = _reduced_log_joint(problem, plate, size, probe.dataset, probe.z)
    masked = float(probe.log_prior + jnp.sum(probe.rows))
    if not abs(masked - float(reduced)) <= TOLERANCE * (1.0 + float(magnitude)):
        raise InputError(
            f"model '{problem.name}': plate '{plate}' cannot vary: with {size} of {problem.capacity[plate]} entries "
            f"the masked log joint is {masked:.4g}, while the model run on {size} entries alone gives "
            f"{float(reduced):.4g}. Latents, priors and likelihood must each lie inside the plate, and nothing may "
            "depend on its size"
        )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _reduced_log_joint(problem: Problem, plate: str, size: int, dataset: Dataset, z: Array) -> tuple[Array, Array]:
    """Log joint of the model run on the first `size` entries alone, and the sum of the sizes of its terms."""
    axes = {s.name: s.plates.index(plate) for s in problem.space.sites if plate in s.plates}
    latents = {
        name: jax.lax.slice_in_dim(value, 0, size, axis=axes[name]) if name in axes else value
        for name, value in problem.space.constrain(z).items()
    }
    values = resize(dataset.values, problem.plate_axes[plate], size)
    model = handlers.seed(problem.model, random.key(0))
    log_probs, _ = compute_log_probs(model, (), values, latents)
    terms = jnp.stack([*log_probs.values()])
    _, log_det = problem.space.constrain_and_log_det(z, dataset.plate_masks)
    return jnp.sum(terms) + log_det, jnp.sum(jnp.abs(terms))
