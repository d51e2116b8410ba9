"""Where published data with reference posteriors lie, and how a posterior's draws are counted."""

import os
from pathlib import Path

import numpy as np

import posterity

__all__ = ["MissingDataError", "distinct_draws", "folder"]


class MissingDataError(Exception):
    """The data are not there; the message says where they were looked for."""


def folder(name: str) -> Path:
    """The folder of one collection, `posteriordb` or `sbibm`.

    It is looked for in `$POSTERITY_REFERENCES`, or else in `../shared/data` beside the checkout.

    Raises:
        MissingDataError: It is not there.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    found = Path(os.environ.get("POSTERITY_REFERENCES", beside)) / name
    if not found.is_dir():
        raise MissingDataError(f"no {name} data at {found}; set POSTERITY_REFERENCES to the folder that holds {name}/")
    return found


def distinct_draws(posterior: posterity.Posterior, number: int, seed: int = 0) -> np.ndarray:
    """Draws of equal weight, no two the same, shape `(draw, latent)`; fewer where there are not as many.

    Those of a corrected posterior are resampled by weight without replacement, which wants many more to choose from.
    """
    sites, log_weights = posterior.weighted
    flat = [np.reshape(draws, (len(draws), -1)) for draws in sites.values()]
    whole = np.concatenate(flat, axis=1)
    rng = np.random.default_rng(seed)
    if log_weights is None:
        whole = np.unique(whole, axis=0)  # a sampler's draws are repeated where more were asked for than it made
        return whole[rng.permutation(len(whole))[:number]]
    weights = np.exp(log_weights)
    return whole[rng.choice(len(whole), number, replace=False, p=weights / weights.sum())]
