"""Draws and their weights, in rounds: more of them where few leave it to chance what the weights are good for.

The first round is enough for most datasets. Where k-hat stands within its standard error of the limit, where too few
draws are effective, or where log ratios say that the posterior reaches further than q, three more rounds are drawn,
then twelve: 4 and 16 times the draws, by the same programs. Half of their draws of q come from a Student-t distribution
instead, around the Gaussian that the ratios of all draws before describe, where q moves plain noise. All rounds are
weighed as the one mixture that they are drawn from (Owen and Zhou 2000): each draw counts for what it is worth.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from posterity.amortized.families.noise import BaseNoise
from posterity.amortized.families.wider import stretched
from posterity.inference.draw import Drawn
from posterity.results.resampling import resampled_indices
from posterity.runtime.compile import jit
from posterity.trust.fitted import FittedStudent, fitted_student
from posterity.trust.verdict import FEWEST_DRAWS, is_near, is_settled
from posterity.trust.weights import ImportanceWeights, flattened, pareto_smoothed

__all__ = ["ENOUGH_TO_SKIP", "Pool", "Source", "at_least", "more_rounds", "pool_of"]

STAGES = (3, 12)  # further rounds: 4, then 16 times as many draws
MOST_NUMBERS = 2 * 110_000_000  # of all latents in all draws, that are held at once
MOST_DRAWS = 100_000  # of q in all rounds; more are not drawn unless they are asked for
ENOUGH_TO_SKIP = 0.8  # share of effective draws at which no direction of q can be much too narrow
TOO_WIDE = 1.33  # width of the posterior, in that of q, from which weights alone are not to be believed
FEWEST_STARTS = 64  # effective draws that a sampler starts from
PER_COEFFICIENT = 5  # effective draws that a fit is made from


def at_least(num_draws: int, size: int) -> int:
    """Draws of q in each round: enough to judge them, or as many as memory allows where there are very many latents.

    Args:
        num_draws: Draws that are asked for.
        size: Latents.
    """
    return max(num_draws, min(FEWEST_DRAWS, MOST_NUMBERS // (2 * size)))


class Source(NamedTuple):
    """Where the rounds of one dataset come from.

    Attributes:
        noise: Round, from 0 on -> its base noise.
        generator: Round -> random numbers for what is drawn from a fit.
        draw: Base noise of some rounds -> their draws.
        active: True for active latents, where q moves one normal number for each latent and nothing else, so that fits
            can be drawn from. None where q is of another kind.
    """

    noise: Callable[[int], BaseNoise]
    generator: Callable[[int], np.random.Generator]
    draw: Callable[[Sequence[BaseNoise]], Sequence[Drawn]]
    active: Bool[np.ndarray, " latent"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """All draws of one dataset.

    Attributes:
        z: Unconstrained, `(draw, latent)`.
        latents: In the latents' supports, plates at capacity.
        log_q: Log density of the mixture that they were drawn from: q, its wider share, fits to earlier rounds.
        log_joint: Log prior + log likelihood + log-det, in nats.
        is_of_q: True for draws of q itself.
        unsupported: Data argument -> rows whose value the model cannot produce.
    """

    z: np.ndarray
    latents: Mapping[str, np.ndarray]
    log_q: np.ndarray
    log_joint: np.ndarray
    is_of_q: np.ndarray
    unsupported: Mapping[str, np.ndarray]

    @property
    def log_ratios(self) -> Float[np.ndarray, " draw"]:
        """Log importance ratios, float64."""
        return self.log_joint.astype(np.float64) - self.log_q

    @property
    def z_of_q(self) -> Float[np.ndarray, "draw latent"]:
        """Draws of q itself."""
        return self.z[self.is_of_q]

    def start(self, number: int) -> Float[np.ndarray, "draw latent"]:
        """Draws for a sampler to start from: resampled by weights as flat as it takes to have a covariance of them.

        Without that, the wider draws would widen it.

        Args:
            number: How many, the same for as many rounds as there were: one program serves all.
        """
        enough = max(PER_COEFFICIENT * self.z.shape[1], FEWEST_STARTS)
        return self.z[resampled_indices(flattened(self.log_ratios, enough), len(self.z), number)]


def pool_of(drawn: Drawn, noise: BaseNoise) -> Pool:
    """The first round by itself.

    Args:
        drawn: Its draws.
        noise: What they were made of.
    """
    rounds = _Rounds(None)
    rounds.add([drawn], [noise], None)
    return rounds.pool()


def more_rounds(
    first: Drawn, pool: Pool, weights: ImportanceWeights, source: Source, num_draws: int
) -> tuple[Pool, ImportanceWeights]:
    """The pool and its weights after as many rounds as it takes for chance not to decide.

    Args:
        first: The first round.
        pool: The same.
        weights: Of the pool.
        source: Where rounds come from.
        num_draws: Draws of q in each round.
    """
    if weights.ess == 0.0 or (is_settled(weights) and weights.ess >= ENOUGH_TO_SKIP * len(pool.log_q)):
        return pool, weights
    rounds = _Rounds(source.active)
    rounds.add([first], [source.noise(0)], None)
    fit = rounds.fit()
    if is_settled(weights) and (fit is None or np.max(fit.widths) < TOO_WIDE):
        return pool, weights
    turn = 1
    for number in STAGES:
        if num_draws * (turn + number) > MOST_DRAWS or first.z.size * (turn + number) > MOST_NUMBERS:
            break
        turns = range(turn, turn + number)
        noises = [rounds.mixed(source.noise(k), fit, source.generator(k)) for k in turns]
        rounds.add(source.draw(noises), noises, fit)
        turn += number
        pool = rounds.pool()
        weights = pareto_smoothed(pool.log_ratios)
        if is_settled(weights) or not is_near(weights):
            break
        fit = rounds.fit()
    return pool, weights


class _Rounds:
    """Rounds as they come, and the fits that some of their draws are from."""

    def __init__(self, active: Bool[np.ndarray, " latent"] | None):
        self._active = active
        self._drawn: list[Drawn] = []
        self._noises: list[BaseNoise] = []
        self._fits: list[FittedStudent] = []
        self._kinds: list[np.ndarray] = []  # of each draw: 0 of q, 1 wider, 2 of the first fit, 3 of the second

    def mixed(self, noise: BaseNoise, fit: FittedStudent | None, rng: np.random.Generator) -> BaseNoise:
        """Noise of which every second draw of q comes from the fit instead."""
        if fit is None or self._active is None:
            return noise
        chosen = _every_second(noise)
        normal = np.array(noise.normal)
        normal[noise.order[chosen][:, None], np.flatnonzero(self._active)] = fit.sample(rng, len(chosen))
        return noise._replace(normal=normal)

    def add(self, drawn: Sequence[Drawn], noises: Sequence[BaseNoise], fit: FittedStudent | None) -> None:
        """Takes rounds in, half of whose draws of q are from the fit if there is one."""
        self._drawn += drawn
        self._noises += noises
        if fit is not None:
            self._fits.append(fit)
        for noise in noises:
            kinds = (np.asarray(noise.stretch)[noise.order] >= 0.0).astype(int)
            if fit is not None:
                kinds[_every_second(noise)] = 1 + len(self._fits)
            self._kinds.append(kinds)

    def fit(self) -> FittedStudent | None:
        """Of all draws so far; None where q is of another kind, or where there are too few."""
        if self._active is None:
            return None
        pool, e = self.pool(), self._moved_noise()
        log_q = np.concatenate([drawn.log_q for drawn in self._drawn])
        log_weights = flattened(pool.log_ratios, PER_COEFFICIENT * e.shape[1] * (e.shape[1] + 3) / 2)
        return fitted_student(e, pool.log_joint.astype(np.float64) - log_q, log_weights)

    def pool(self) -> Pool:
        """All draws, with the density of the mixture of all rounds."""
        log_q, log_wider, log_joint = (
            _joined([getattr(drawn, name) for drawn in self._drawn]).astype(np.float64)
            for name in ("log_q", "log_wider", "log_joint")
        )
        kinds = np.concatenate(self._kinds)
        over_q = [np.zeros(len(kinds)), log_wider]
        if self._fits:
            e = self._moved_noise()
            over_q += [fit.log_over_normal(e) for fit in self._fits]
        shares = np.bincount(kinds, minlength=len(over_q))[:, None] / len(kinds)
        log_mixture = log_q + np.logaddexp.reduce(np.log(shares) + over_q)
        # Far from q arithmetic may end, where draws of q never come: there is nothing to weigh there.
        ended = (kinds > 0) & (np.isnan(log_joint) | np.isposinf(log_joint) | ~np.isfinite(log_mixture))
        log_joint[ended], log_mixture[ended] = -np.inf, 0.0
        return Pool(
            z=_joined([drawn.z for drawn in self._drawn]),
            latents={site: _joined([drawn.latents[site] for drawn in self._drawn]) for site in self._drawn[0].latents},
            log_q=log_mixture,
            log_joint=log_joint.astype(self._drawn[0].log_joint.dtype),
            is_of_q=kinds == 0,
            unsupported=self._drawn[0].unsupported,
        )

    def _moved_noise(self) -> Float[np.ndarray, "draw latent"]:
        """What q moved for each draw, active latents only."""
        assert self._active is not None
        parts = []
        for noise in self._noises:
            mask = np.zeros(noise.normal.shape[1], bool)
            mask[: len(self._active)] = self._active
            parts.append(np.asarray(_stretched(noise, mask))[noise.order][:, mask])
        return np.concatenate(parts).astype(np.float64)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if len(parts) > 1 else np.asarray(parts[0])


def _every_second(noise: BaseNoise) -> Int[np.ndarray, " chosen"]:
    """Every second draw of q, in the order in which draws are handed out."""
    return np.flatnonzero(np.asarray(noise.stretch)[noise.order] < 0.0)[::2]


_stretched = jit(stretched, effort="little")
