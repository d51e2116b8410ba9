"""The informed posterior on the study's tasks: nothing is trained, every answer is checked and refined if need be.

Softmax regression with two classes depends on the difference of their weights alone: with w- = (w1 - w0) / sqrt 2 and
w+ = (w1 + w0) / sqrt 2, both N(0, I) a priori, it is a logistic regression on w- with logits sqrt 2 w-'x / tau, and w+
keeps its prior. That is exact, and it is how "difference" answers.
"""

from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jax import vmap
from jaxtyping import Float

import posterity
from posterity.results.data import Answer
from posterity.model.problem import Problem
from study.datasets import TestSet
from study.settings import ROWS, Setting, Task

__all__ = ["InformedDraws", "answer", "as_arrays", "problem_of"]


class InformedDraws(NamedTuple):
    """Answers to every test dataset.

    Attributes:
        raw: Draws before they are weighted: of q, or of the chains where an answer was refined.
        trusted: Draws of equal weight after correction or refinement.
        answers: What they come from.
        log_q: Of the raw draws, in nats, where asked for and none of them come from chains.
        log_q_at: Log q at the points that were asked for.
    """

    raw: Float[np.ndarray, "dataset draw latent"]
    trusted: Float[np.ndarray, "dataset draw latent"]
    answers: list[Answer]
    log_q: Float[np.ndarray, "dataset draw"] | None = None
    log_q_at: Float[np.ndarray, "dataset reference"] | None = None


def answer(
    test: TestSet,
    setting: Setting,
    task: Task,
    num_draws: int,
    refine_seconds: float,
    at: Float[np.ndarray, "dataset reference latent"] | None = None,
) -> InformedDraws:
    """Answers of the informed posterior.

    Args:
        test: The datasets.
        setting: Says through which model they are answered.
        task: Its size.
        num_draws: Draws that are kept; four times as many are made of q.
        refine_seconds: For each dataset that needs it.
        at: Points at which log q is wanted, over the active coordinates.
    """
    problem = problem_of(setting, task)
    estimator = posterity.informed_estimator(problem, check=False)
    datasets = [as_arrays(test, i, task) for i in range(len(test.z))]
    found = estimator.infer_many(datasets, num_draws=4 * num_draws, refine_seconds=refine_seconds)
    rng = np.random.default_rng(0)
    raw = np.stack([_flat(problem, one, np.arange(num_draws)) for one in found])
    trusted = np.stack([_flat(problem, one, _chosen(one, num_draws, rng)) for one in found])
    back = _to_classes if setting.informed == "difference" else (lambda z, *_: z)
    whole = [np.zeros((*raw.shape[:2], test.problem.space.size), np.float32) for _ in range(2)]
    for place, draws in zip(whole, (raw, trusted), strict=True):
        place[..., test.active] = back(draws, task.dims, rng)
    if at is None or any(one.verdict == "refined" for one in found):
        return InformedDraws(*whole, found)
    log_prob = eqx.filter_jit(lambda q, z: vmap(q.log_prob)(z))
    qs = [estimator.posterior(dataset).q for dataset in datasets]
    log_q = np.stack([log_prob(q, z) for q, z in zip(qs, raw, strict=True)])
    return InformedDraws(*whole, found, log_q, np.stack([log_prob(q, z) for q, z in zip(qs, at, strict=True)]))


def problem_of(setting: Setting, task: Task) -> Problem:
    """The problem through which a setting's datasets are answered."""
    options = dict(setting.options)
    name = setting.model
    if setting.informed == "difference":
        name, options = "logistic_regression", {"temperature": options["temperature"] / 2**0.5}
    entry = posterity.MODELS[name]
    return entry.problem(ROWS, (task.dims, task.dims), covariates=setting.covariates, check=False, **options)


def as_arrays(test: TestSet, index: int, task: Task) -> dict[str, Any]:
    """One dataset as a user would hand it over: without padding."""
    mask = np.asarray(test.datasets.row_mask[index])
    values = {name: np.asarray(array[index])[mask] for name, array in test.datasets.values.items()}
    return {name: array[:, : task.dims] if array.ndim == 2 else array for name, array in values.items()}


def _flat(problem: Problem, found: Answer, chosen: np.ndarray) -> np.ndarray:
    """Draws as vectors; every latent of the study is real, so that z holds the latents themselves."""
    sites = [found.draws[site.name][chosen] for site in problem.space.sites]
    return np.concatenate([np.reshape(draws, (len(chosen), -1)) for draws in sites], axis=1)


def _chosen(found: Answer, number: int, rng: np.random.Generator) -> np.ndarray:
    if found.trusted_log_weights is None:
        return rng.permutation(found.num_draws)[:number]
    weights = np.exp(found.trusted_log_weights)
    return rng.choice(found.num_draws, number, p=weights / weights.sum())


def _to_classes(z: np.ndarray, dims: int, rng: np.random.Generator) -> np.ndarray:
    """From (w, b) of the difference to (b, w) of both classes, the order of softmax regression's latents."""
    minus = z[..., :dims], z[..., dims:]
    plus = rng.normal(size=minus[0].shape), rng.normal(size=minus[1].shape)
    w, b = (np.stack([(p - m), (p + m)], axis=-1) / 2**0.5 for m, p in zip(minus, plus, strict=True))
    return np.concatenate([b.reshape(*z.shape[:2], -1), w.reshape(*z.shape[:2], -1)], axis=-1)
