"""The draws that the figures show: posterior and prior as one column per scalar latent."""

import numpy as np

from posterity.report.latent import Latent
from posterity.results.data import PosteriorData
from posterity.results.prior import prior_draws
from posterity.runtime.keys import key_for

__all__ = ["latents_of"]

NUM_PRIOR = 10_000


def latents_of(posterior: PosteriorData, seed: int = 0) -> list[Latent]:
    """All scalar latents of an answer, in its order; without draws of a prior that is improper.

    Args:
        posterior: The posterior.
        seed: Decides the draws of the prior.
    """
    improper = bool(posterior.model.improper_sites)  # others may follow those that cannot be drawn
    prior = {} if improper else prior_draws(posterior, NUM_PRIOR, key_for(seed, "prior draws"))
    found = []
    for site, draws in posterior.draws.items():
        ours = np.asarray(draws).reshape(len(draws), -1)
        before = np.zeros((0, ours.shape[1])) if improper else prior[site].reshape(NUM_PRIOR, -1)
        for column, label in enumerate(posterior.labels[site]):
            values, drawn = ours[:, column], before[:, column]
            finite = values[np.isfinite(values)]
            found.append(Latent(label, site, finite, drawn[np.isfinite(drawn)], len(finite) == len(values)))
    return found
