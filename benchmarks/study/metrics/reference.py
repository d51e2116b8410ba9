"""Reference draws of every test posterior: closed form, or long NUTS; made once and kept beside the results.

They lie in `benchmarks/study/scratch/`, which git ignores: some megabytes a task, made again where they are missing.
"""

import itertools
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from study.datasets import TestSet
from study.methods.chains import STEPS, run_chains
from study.metrics.exact import exact_draws
from study.presets import Preset
from study.settings import Setting, Task

__all__ = ["SCRATCH", "Reference", "halves_of_chains", "has_reference", "in_every_order", "reference"]

SCRATCH = Path(os.environ.get("POSTERITY_STUDY_SCRATCH", Path(__file__).parents[1] / "scratch"))
NUM_CHAINS = 4


class Reference(NamedTuple):
    """Draws of the posteriors.

    Attributes:
        method: "exact" or "nuts".
        draws: Shape `(dataset, draw, latent)`; the two halves are independent of each other.
        converged: 1 where rank R-hat is at most 1.01, or the draws are exact.
        r_hat: Largest of a latent, per dataset.
        seconds: That making them took, for all datasets.
    """

    method: str
    draws: Float[np.ndarray, "dataset draw latent"]
    converged: Float[np.ndarray, " dataset"]
    r_hat: Float[np.ndarray, " dataset"]
    seconds: float


def has_reference(setting: Setting, task: Task) -> bool:
    """Whether W2 has something to be taken to: closed forms, and what NUTS samples in minutes."""
    return setting.exact or task.small or setting.name in ("gmm_5d_2cl", "lc_100d")


def reference(test: TestSet, setting: Setting, task: Task, sizes: Preset) -> Reference:
    """Draws of a task's posteriors, from the file if there is one of the same size; twice as many as W2 takes.

    Of neural networks only the first few: see `Preset.neural_references`.
    """
    num_draws = 2 * sizes.w2_draws
    if setting.model.startswith("neural_"):
        test = test.first(sizes.neural_references)
    if setting.exact:
        started = time.perf_counter()
        draws = exact_draws(test, num_draws, seed=77)
        ones = np.ones(len(draws))
        return Reference("exact", draws, ones, ones, time.perf_counter() - started)
    num_warmup, thinning = STEPS["nuts"]
    path = SCRATCH / f"{task.name}-{len(test.z)}-{num_draws}-nuts-{num_warmup}-{thinning}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Reference("nuts", kept["draws"], kept["converged"], kept["r_hat"], float(kept["seconds"]))
    mixture = setting.model == "gaussian_mixture"
    chains = run_chains(
        test, "nuts", num_draws=-(-num_draws // NUM_CHAINS), num_chains=NUM_CHAINS, at_truth=mixture, seed=77
    )
    draws = chains.draws[:, halves_of_chains(chains.draws.shape[1])[:num_draws]]
    if mixture:
        draws = in_every_order(draws, *test.model.space.sites[0].shape)
    found = Reference("nuts", draws, chains.converged, chains.r_hat, chains.seconds)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(
        partial,
        draws=found.draws.astype(np.float32),
        converged=found.converged,
        r_hat=found.r_hat,
        seconds=found.seconds,
    )
    partial.replace(path)
    return found


def halves_of_chains(num_draws: int) -> np.ndarray:
    """An order of pooled draws with those of the first chains before those of the others, each half shuffled.

    Draws of one chain resemble each other: two halves of it would be nearer to each other than two sets of draws of
    the posterior are, and so would be the floor of W2.
    """
    shuffled = np.random.default_rng(0).permutation(num_draws)
    return shuffled[np.argsort(shuffled % NUM_CHAINS >= NUM_CHAINS // 2, kind="stable")]


def in_every_order(
    draws: Float[np.ndarray, "dataset draw latent"], num_components: int, num_dims: int
) -> Float[np.ndarray, "dataset draw latent"]:
    """Draws of a mixture's means, relabelled by every order of its components in turn.

    All labellings are equally likely, and chains stay in the one where they started: relabelled, their draws are
    draws of the whole posterior, whatever the number of components, and R-hat has told of convergence before.
    """
    orders = np.array(list(itertools.permutations(range(num_components))))
    orders = np.random.default_rng(1).permutation(orders)  # so that a few draws see orders of all kinds
    means = draws.reshape(*draws.shape[:2], num_components, num_dims)
    chosen = orders[np.arange(draws.shape[1]) % len(orders)]
    return np.take_along_axis(means, chosen[None, :, :, None], axis=2).reshape(draws.shape)
