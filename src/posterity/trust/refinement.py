"""What sampling from q on came to, and whether its chains agree: rank R-hat, effective sample size, divergences."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import jax
import numpy as np
from jax import random
from jaxtyping import Bool, Float, PRNGKeyArray

__all__ = ["FEWEST", "Budget", "Clock", "Refinement", "diagnose", "successive_keys", "unsettled"]

MOST_KEPT = 4000  # draws of a sampler that go into a posterior, at most
FEWEST = 50  # draws of each chain without which R-hat says nothing

Sampler = Literal["chains", "tempering"]
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long to refine one dataset, and when it has converged.

    Attributes:
        seconds: Wall time until there has to be an answer, compilation included.
        min_ess: Least bulk and tail effective sample size of every scalar latent.
        max_r_hat: Largest rank-normalised R-hat.
        max_divergent: Largest share of divergent transitions.
        most_steps: Steps per chain at which to give up unless they have nearly converged. No more of them are kept.
    """

    seconds: float
    min_ess: float = 400.0
    max_r_hat: float = 1.01
    max_divergent: float = 0.01
    most_steps: int = 5000


@dataclasses.dataclass(frozen=True, eq=False)
class Refinement:
    """What came of it.

    Attributes:
        sampler: `chains` of HMC, or islands of `tempering`.
        z: Unconstrained draws, shape `(chain, draw, latent)`; none if time ran out before.
        max_r_hat: Largest rank-normalised R-hat of the active latents; NaN without enough draws.
        min_ess: Smallest of bulk and tail effective sample sizes; 0 without enough draws.
        divergent: Share of divergent transitions.
        seconds: Wall time, of all samplers that were tried.
        problems: Why it may not be relied on, in full sentences; empty if it converged.
        is_divergent: Which transitions diverged, `(chain, draw)`; None where that was not kept draw by draw.
        ends: Where some chains stand, `(chain, latent)`, and the log joint there as the sampler computed it.
    """

    sampler: Sampler
    z: np.ndarray
    max_r_hat: float
    min_ess: float
    divergent: float
    seconds: float
    problems: tuple[str, ...]
    is_divergent: np.ndarray | None = None
    ends: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def kept_steps(self) -> np.ndarray:
        """Evenly spaced steps of each chain that a posterior keeps: all chains together at most `MOST_KEPT` draws."""
        chains, steps = self.z.shape[:2]
        return np.linspace(0, steps - 1, min(steps, max(1, MOST_KEPT // chains))).round().astype(int)

    def __repr__(self) -> str:
        chains, draws = self.z.shape[:2]
        return (
            f"Refinement({self.sampler}: {chains} x {draws} draws, R-hat {self.max_r_hat:.3f}, ESS {self.min_ess:.0f}, "
            f"{self.divergent:.1%} divergent, {self.seconds:.1f} s)"
        )

    @property
    def has_draws(self) -> bool:
        """Whether there are draws, converged or not."""
        return self.z.shape[1] > 0

    def ended_by_clock(self, budget: Budget) -> "Refinement":
        """The same, and that the clock decided: with more time, or on an idle machine, it may come out otherwise."""
        left = f"The time ended: {budget.seconds:.1f} s were left for the {self.sampler}, and more may do."
        return dataclasses.replace(self, problems=(*self.problems, left))

    def to_json(self) -> dict[str, str | float]:
        """Plain values, without the draws."""
        chains, draws = self.z.shape[:2]
        numbers = {name: getattr(self, name) for name in ("max_r_hat", "min_ess", "divergent", "seconds")}
        return {"sampler": self.sampler, "chains": chains, "draws": draws, **numbers}


class Clock:
    """The time until which steps may run, and how long one takes: the slowest so far counts."""

    def __init__(self, seconds: float):
        self._started = time.perf_counter()
        self._until = self._started + seconds
        self._per_step = 0.0
        self._kept = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._started

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._until - time.perf_counter()

    def allows(self, steps: int) -> bool:
        """Whether so many steps would end in time."""
        return steps * self._per_step + self._kept < self.left

    def run(self, steps: int, function: Callable[[], Found]) -> Found:
        """Runs something that takes so many steps, and learns how long one is."""
        before = time.perf_counter()
        found = jax.block_until_ready(function())
        self._per_step = max((time.perf_counter() - before) / steps, 0.5 * self._per_step)
        return found

    def look(self, function: Callable[[], Found]) -> Found:
        """Runs something that will have to be run again at the end, and keeps time for that."""
        before = time.perf_counter()
        found = function()
        self._kept = 1.3 * (time.perf_counter() - before)
        return found


def successive_keys(rng_key: PRNGKeyArray) -> Iterator[PRNGKeyArray]:
    """Keys without end, each made when it is asked for.

    `split` into as many as a budget may take would be one more program to compile for each budget, on the clock.
    """
    return (random.fold_in(rng_key, i) for i in itertools.count())


def unsettled(sampler: Sampler, num_chains: int, num_latents: int, budget: Budget, seconds: float) -> Refinement:
    """A refinement that ran out of time before there was anything to judge."""
    problem = f"No refined draws: {max(budget.seconds, 0.0):.1f} s were left for the {sampler}, too few to settle."
    return Refinement(sampler, np.zeros((num_chains, 0, num_latents)), np.nan, 0.0, 0.0, seconds, (problem,))


def diagnose(
    sampler: Sampler,
    z: Float[np.ndarray, "chain draw latent"],
    mask: Bool[np.ndarray, " latent"],
    divergent: float,
    budget: Budget,
    seconds: float,
) -> Refinement:
    """Judges draws of several chains.

    Args:
        sampler: What made them.
        z: At least `FEWEST` draws of each chain.
        mask: True for active latents.
        divergent: Share of divergent transitions.
        budget: What to reach.
        seconds: Wall time so far.
    """
    from arviz_stats.base.array import array_stats  # here, since it takes a second

    active = z[:, :, mask].astype(np.float64)
    r_hat = float(np.max(array_stats.rhat(active, chain_axis=0, draw_axis=1)))
    bulk = array_stats.ess(active, chain_axis=0, draw_axis=1)
    tail = array_stats.ess(active, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))
    ess = float(min(np.min(bulk), np.min(tail)))
    problems = []
    if not r_hat <= budget.max_r_hat:
        problems.append(
            f"R-hat of the refined {sampler} is {_short(r_hat)}, above {budget.max_r_hat:g}: they disagree."
        )
    if not ess >= budget.min_ess:
        problems.append(f"Effective sample size of the refined {sampler} is {ess:.0f}, below {budget.min_ess:g}.")
    if divergent > budget.max_divergent:
        problems.append(
            f"{divergent:.1%} of the refined transitions diverged, above {budget.max_divergent:.0%}: parts of the "
            "posterior are too narrow to be reached."
        )
    return Refinement(sampler, z, r_hat, ess, divergent, seconds, tuple(problems))


def _short(r_hat: float) -> str:
    """Three decimals where they matter; of chains that do not move at all, R-hat has no bound."""
    return f"{r_hat:.3f}" if r_hat < 100.0 else f"{r_hat:.2g}"
