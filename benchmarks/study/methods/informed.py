"""The informed posterior on the study's tasks: nothing is trained, every posterior is checked and refined if need be.

Softmax regression with two classes depends on the difference of their weights alone: with w- = (w1 - w0) / sqrt 2 and
w+ = (w1 + w0) / sqrt 2, both N(0, I) a priori, it is a logistic regression on w- with logits sqrt 2 w-'x / tau, and w+
keeps its prior. That is exact, and it is how "difference" answers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import vmap
from jaxtyping import Float

import posterity
from posterity.runtime.compile import filter_jit
from study.datasets import TestSet
from study.settings import Setting, Task

__all__ = ["InformedDraws", "as_arrays", "draw", "estimator_of", "flat_draws", "to_classes"]


class InformedDraws(NamedTuple):
    """Posteriors of all test datasets.

    Attributes:
        raw: Draws before they are weighted: of q, or of the chains where a posterior was refined.
        trusted: Draws of equal weight after correction or refinement.
        posteriors: What they come from.
        log_q: Of the raw draws, in nats, where asked for and none of them come from chains.
        log_q_at: Log q at the points that were asked for.
    """

    raw: Float[np.ndarray, "dataset draw latent"]
    trusted: Float[np.ndarray, "dataset draw latent"]
    posteriors: list[posterity.Posterior]
    log_q: Float[np.ndarray, "dataset draw"] | None = None
    log_q_at: Float[np.ndarray, "dataset reference"] | None = None


def draw(
    test: TestSet,
    setting: Setting,
    task: Task,
    num_draws: int,
    refine_seconds: float,
    at: Float[np.ndarray, "dataset reference latent"] | None = None,
) -> InformedDraws:
    """Draws of the informed posterior, by a random key of its own for each dataset.

    Args:
        test: The datasets.
        setting: Says through which model they are answered.
        task: Its size.
        num_draws: Draws that are kept; four times as many are made of q.
        refine_seconds: For each dataset that needs it.
        at: Points at which log q is wanted, over the active coordinates.
    """
    datasets = [as_arrays(test, i, task) for i in range(len(test.z))]
    found = estimator_of(setting, task).infer_each(datasets, num_draws=4 * num_draws, refine_seconds=refine_seconds)
    rng = np.random.default_rng(0)
    raw = np.stack([flat_draws(one, one.weighted[0])[:num_draws] for one in found])
    trusted = np.stack([rng.permutation(flat_draws(one, one.draws))[:num_draws] for one in found])
    back = to_classes if setting.informed == "difference" else (lambda z, *_: z)
    whole = [np.zeros((*raw.shape[:2], test.model.space.size), np.float32) for _ in range(2)]
    for place, draws in zip(whole, (raw, trusted), strict=True):
        place[..., test.active] = back(draws, task.dims, rng)
    if at is None or any(one.verdict == "refined" for one in found):
        return InformedDraws(*whole, found)
    log_prob = filter_jit(lambda q, z: vmap(q.log_prob)(z))
    log_q = np.stack([one.log_q[:num_draws] for one in found])
    return InformedDraws(
        *whole, found, log_q, np.stack([log_prob(one.proposal.q, z) for one, z in zip(found, at, strict=True)])
    )


def estimator_of(setting: Setting, task: Task) -> posterity.Estimator:
    """The informed posterior through which a setting's datasets are answered."""
    name, options = setting.model, dict(setting.options)
    if setting.informed == "difference":
        name, options = "logistic_regression", {"temperature": options["temperature"] / 2**0.5}
    return posterity.informed(name, columns=task.dims, **options)


def as_arrays(test: TestSet, index: int, task: Task) -> dict[str, Any]:
    """One dataset as a user would hand it over: without padding."""
    mask = np.asarray(test.datasets.row_mask[index])
    values = {name: np.asarray(array[index])[mask] for name, array in test.datasets.values.items()}
    return {name: array[:, : task.dims] if array.ndim == 2 else array for name, array in values.items()}


def flat_draws(posterior: posterity.Posterior, draws: Mapping[str, np.ndarray]) -> Float[np.ndarray, "draw latent"]:
    """Draws as vectors; every latent of the study is real, so that z holds the latents themselves.

    Args:
        posterior: Whose.
        draws: Its draws of one kind, such as `posterior.draws`.
    """
    sites = [draws[site.name] for site in posterior.model.space.sites]
    return np.concatenate([np.reshape(values, (len(values), -1)) for values in sites], axis=1)


def to_classes(z: np.ndarray, dims: int, rng: np.random.Generator) -> np.ndarray:
    """From (w, b) of the difference to (b, w) of both classes, the order of softmax regression's latents."""
    minus = z[..., :dims], z[..., dims:]
    plus = rng.normal(size=minus[0].shape), rng.normal(size=minus[1].shape)
    w, b = (np.stack([(p - m), (p + m)], axis=-1) / 2**0.5 for m, p in zip(minus, plus, strict=True))
    return np.concatenate([b.reshape(*z.shape[:2], -1), w.reshape(*z.shape[:2], -1)], axis=-1)
