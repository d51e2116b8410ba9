"""The draws that the figures show: posterior and prior as one column per scalar latent."""

from typing import Any

import numpy as np
from numpyro.distributions import constraints

from posterity.report.latent import Latent
from posterity.results.data import PosteriorData
from posterity.results.prior import prior_draws
from posterity.runtime.keys import key_for

__all__ = ["latents_of"]

NUM_PRIOR = 10_000
ENDS = (("lower_bound", -np.inf), ("upper_bound", np.inf))


def latents_of(posterior: PosteriorData, seed: int = 0) -> list[Latent]:
    """All scalar latents of an answer, in its order; without draws of a prior that is improper.

    Args:
        posterior: The posterior.
        seed: Decides the draws of the prior.
    """
    improper = bool(posterior.model.improper_sites)  # others may follow those that cannot be drawn
    prior = {} if improper else prior_draws(posterior, NUM_PRIOR, key_for(seed, "prior draws"))
    supports = {site.name: _bounds(site.bijector.codomain) for site in posterior.model.space.sites}
    found = []
    for site, draws in posterior.draws.items():
        ours = np.asarray(draws).reshape(len(draws), -1)
        before = np.zeros((0, ours.shape[1])) if improper else prior[site].reshape(NUM_PRIOR, -1)
        for column, label in enumerate(posterior.labels[site]):
            values, drawn = ours[:, column], before[:, column]
            finite = values[np.isfinite(values)]
            known = drawn[np.isfinite(drawn)]
            found.append(Latent(label, site, finite, known, len(finite) == len(values), supports[site]))
    return found


def _bounds(support: Any) -> tuple[float, float]:
    """Ends of a support along each of its entries; infinite where there are none, or each entry has others."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is constraints.simplex:
        return 0.0, 1.0
    low, high = (np.asarray(getattr(support, name, infinite)) for name, infinite in ENDS)
    return float(low) if low.ndim == 0 else -np.inf, float(high) if high.ndim == 0 else np.inf
