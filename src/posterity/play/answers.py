"""Points and sliders in, what the page shows out: the posterior, its verdict, and how long it took."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from posterity.estimator.estimator import Estimator
from posterity.estimator.informed import informed
from posterity.play.modes import MODES, Mode, Points
from posterity.report.words import verdict_words
from posterity.results.table import k_hat_text
from posterity.runtime.errors import InputError, lookup
from posterity.trust.nuts import MAX_R_HAT, diagnose_chains, nuts_reference

__all__ = ["REFINE_SECONDS", "Answers"]

REFINE_SECONDS = 20.0
FEWEST_POINTS = 2


class Answers:
    """Answers all modes; an estimator is made when its mode is first asked for, and serves any number of points."""

    def __init__(self, seed: int = 0):
        """Nothing is made yet.

        Args:
            seed: Decides all draws.
        """
        self._seed = seed
        self._estimators: dict[str, Estimator] = {}
        self._first: dict[str, float] = {}
        self._making = threading.Lock()

    def posterior(self, mode: str, points: Points, sliders: Mapping[str, float], *, refine: bool) -> dict[str, Any]:
        """The posterior as the page shows it.

        Args:
            mode: Key of `MODES`.
            points: The data.
            sliders: Name -> value.
            refine: Whether chains go on where weights are unhealthy; while a point is dragged there is no time for it.

        Raises:
            InputError: There is no such mode, a slider is missing, or the points are too few.
        """
        entry, dataset, settings = _dataset(mode, points, sliders)
        started = time.perf_counter()
        estimator = self._estimator(mode, entry, dataset)
        posterior = estimator.infer(dataset, seed=self._seed, refine_seconds=REFINE_SECONDS if refine else 0.0)
        seconds = time.perf_counter() - started
        words = verdict_words(posterior)
        return {
            "verdict": posterior.verdict,
            "headline": words.headline,
            "reasons": list(posterior.reasons),
            "k_hat": k_hat_text(posterior.pareto_k),
            "ess": round(posterior.ess),
            "num_weighed": posterior.num_weighed,
            "seconds": seconds,
            "first_seconds": self._first.setdefault(mode, seconds),
            **_shown(entry, posterior.draws, settings),
        }

    def nuts(self, mode: str, points: Points, sliders: Mapping[str, float]) -> dict[str, Any]:
        """The same by NumPyro's NUTS: 4 chains of 1000 + 1000 steps.

        Raises:
            InputError: As `posterior`.
        """
        entry, dataset, settings = _dataset(mode, points, sliders)
        reference = nuts_reference(self._estimator(mode, entry, dataset).model, dataset, seed=self._seed)
        # Of what the page shows: chains may call the components of a mixture differently.
        chains = {
            label: values.reshape(reference.num_chains, -1)
            for label, values in entry.quantities(entry.natural(reference.draws, settings)).items()
        }
        r_hats, sizes = diagnose_chains(chains)
        return {
            "seconds": reference.seconds,
            "max_r_hat": max(r_hats),
            "min_ess": round(min(sizes)),
            "num_divergent": reference.num_divergent,
            "converged": max(r_hats) <= MAX_R_HAT,
            **_shown(entry, reference.draws, settings),
        }

    def _estimator(self, mode: str, entry: Mode, dataset: Mapping[str, Any]) -> Estimator:
        with self._making:
            if mode not in self._estimators:
                self._estimators[mode] = informed(entry.model, like=dataset)
            return self._estimators[mode]


def _dataset(mode: str, points: Points, sliders: Mapping[str, float]) -> tuple[Mode, dict[str, Any], dict[str, float]]:
    """The mode, the arguments of its model, and the sliders among them."""
    entry = lookup("mode", mode, MODES)
    if len(points.x) < FEWEST_POINTS:
        raise InputError(f"{entry.title}: {len(points.x)} points; at least {FEWEST_POINTS} are needed. Add some.")
    if points.kind.max() >= len(entry.kinds):
        raise InputError(f"{entry.title}: a point is of kind {points.kind.max()}; expected 0 to {len(entry.kinds) - 1}")
    settings = {slider.name: lookup("slider", slider.name, sliders) for slider in entry.sliders}
    for slider in entry.sliders:
        if not slider.low <= settings[slider.name] <= slider.high:
            raise InputError(f"{slider.label}: expected {slider.low} to {slider.high}; got {settings[slider.name]}")
    columns = {name: np.full(len(points.x), value, np.float32) for name, value in settings.items()}
    return entry, entry.data(points) | columns, settings


def _shown(entry: Mode, draws: Mapping[str, np.ndarray], settings: Mapping[str, float]) -> dict[str, Any]:
    draws = entry.natural(draws, settings)
    latents = [
        {"label": label, "mean": float(values.mean()), "sd": float(values.std()), **_bounds(values)}
        for label, values in entry.quantities(draws).items()
    ]
    return {"latents": latents, "marks": entry.picture(draws, settings)}


def _bounds(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.05, 0.95])
    return {"low": float(low), "high": float(high)}
