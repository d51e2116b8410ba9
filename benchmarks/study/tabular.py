"""Real tables, zero-shot (the paper's Table 3): networks of variable dimension, and what else one would use."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array

import posterity
from posterity.model.dataset import Dataset, bucket_for
from posterity.model.problem import Problem
from study.job import Job
from study.metrics.measures import NUM_PREDICTIVE, summary
from study.metrics.predictive import predict_rows
from study.presets import PRESETS
from study.settings import Setting
from study.tables import Fold, Table, folds, tables
from study.tasks import SETTINGS

__all__ = ["do", "jobs", "network_rows"]

COLUMNS = {"lr_variable": "LR", "nlr_variable": "NLR", "lc_variable": "LC", "nlc_variable": "NLC"}
BESIDE = {
    "lr_variable": ("prior", "predict_mean", "ridge", "exact", "nuts", "informed"),
    "lc_variable": ("prior", "majority", "map", "nuts", "informed"),
    "nlr_variable": ("prior", "predict_mean"),
    "nlc_variable": ("prior", "majority"),
}
PRIOR_SD_OF_DIFFERENCE = 2**0.5
"""Softmax regression's N(0, 1) weights on two classes are, in their difference, a logistic regression with this sd."""


def jobs(preset: str) -> Iterator[Job]:
    """What stands beside the networks; these are tested on the tables by their own jobs."""
    if preset == "smoke":
        yield Job("tabular", "lr_variable", "predict_mean")
        return
    for name, methods in BESIDE.items():
        for method in methods:
            yield Job("tabular", name, method)


def do(job: Job, preset: str) -> list[dict[str, Any]]:
    """Baselines and the informed posterior on every table."""
    setting = SETTINGS[job.setting]
    predict = {"predict_mean": _predict_mean, "majority": _predict_mean, "ridge": _ridge, "map": _logistic_map}
    if job.method in predict:
        scores = {t.name: _mean_score(t, predict[job.method]) for t in _tables_for(setting)}
    else:
        draw = _drawers(setting, preset)[job.method]
        scores = {t.name: _mean_score_of_draws(t, draw, setting) for t in _tables_for(setting)}
    return [_row(setting, scores)]


def network_rows(estimator: posterity.Estimator, setting: Setting) -> list[dict[str, Any]]:
    """A trained network of variable dimension on every table; none for other settings."""
    if setting.name not in COLUMNS:
        return []
    draw = _network_drawer(estimator)
    return [_row(setting, {t.name: _mean_score_of_draws(t, draw, setting) for t in _tables_for(setting)})]


def _tables_for(setting: Setting) -> Iterator[Table]:
    return (table for table in tables() if table.is_class == (setting.score == "accuracy"))


def _row(setting: Setting, scores: dict[str, float]) -> dict[str, Any]:
    """A plain average over tables, as in the paper: over those of its copy first, then over all."""
    in_paper = [scores[t.name] for t in _tables_for(setting) if t.in_paper]
    chosen = in_paper if len(in_paper) > 1 else list(scores.values())
    metrics = {setting.score: summary(chosen) if len(chosen) > 1 else {"mean": chosen[0], "se": None}}
    metrics["all_tables"] = summary(list(scores.values())) if len(scores) > 1 else metrics[setting.score]
    column = COLUMNS[setting.name]
    return {
        "task": f"tabular_{column.lower()}", "column": column, "setup": "tabular", "metrics": metrics,
        "tables": {name: round(value, 4) for name, value in scores.items()}, "num_in_paper": len(in_paper),
    }  # fmt: skip


def _mean_score(table: Table, predict: Callable[[Fold, bool], np.ndarray]) -> float:
    """Mean over folds of the squared error or the accuracy in percent of one prediction."""
    found = []
    for fold in folds(table):
        guess = predict(fold, table.is_class)
        hit = 100.0 * (guess == fold.y_new) if table.is_class else np.square(guess - fold.y_new)
        found.append(hit.mean())
    return float(np.mean(found))


def _predict_mean(fold: Fold, is_class: bool) -> np.ndarray:
    level = float(fold.y.mean() > 0.5) if is_class else fold.y.mean()
    return np.full(len(fold.y_new), level)


def _ridge(fold: Fold, is_class: bool) -> np.ndarray:
    """The exact posterior mean of LR: a ridge regression with penalty 0.25 on weights and intercept."""
    del is_class
    design, design_new = (np.column_stack([x, np.ones(len(x))]) for x in (fold.x, fold.x_new))
    weights = np.linalg.solve(design.T @ design + 0.25 * np.eye(design.shape[1]), design.T @ fold.y)
    return design_new @ weights


def _logistic_map(fold: Fold, is_class: bool) -> np.ndarray:
    """MAP of LC: logistic regression with the temperature and prior of softmax regression's difference."""
    del is_class
    from sklearn.linear_model import LogisticRegression

    temperature = SETTINGS["lc_variable"].options["temperature"]
    # Weights in units of the temperature have a prior sd of sqrt 2 / tau, and C is its square.
    classifier = LogisticRegression(C=(PRIOR_SD_OF_DIFFERENCE / temperature) ** 2, max_iter=5000)
    return classifier.fit(fold.x, fold.y).predict(fold.x_new)


Drawer = Callable[[Fold], tuple[Problem, np.ndarray, dict[str, np.ndarray]]]


def _mean_score_of_draws(table: Table, draw: Drawer, setting: Setting) -> float:
    """The paper's score: averaged over 25 single draws, rows and folds; in percent for accuracy."""
    found = []
    for fold in folds(table):
        problem, z, new = draw(fold)
        found.append(_score(problem, z, new, fold.x.shape[1]))
    return float(np.mean(found)) * (100.0 if setting.score == "accuracy" else 1.0)


def _score(problem: Problem, z: np.ndarray, new: dict[str, np.ndarray], num_columns: int) -> float:
    """Mean over draws and rows; rows are padded to a power of two, so that few sizes are compiled."""
    num_rows = len(new["y"])
    padding = bucket_for(num_rows, (64,)) - num_rows
    rows = {
        name: jnp.asarray(np.concatenate([array, array[:1].repeat(padding, axis=0)])) for name, array in new.items()
    }
    masks = problem.plate_masks({"features": num_columns})
    held_out = Dataset(rows, jnp.ones(num_rows + padding, bool), masks)
    return float(jnp.mean(_scores(problem, jnp.asarray(z), held_out)[:, :num_rows]))


@eqx.filter_jit
def _scores(problem: Problem, z: Array, held_out: Dataset) -> Array:
    return vmap(lambda each: predict_rows(problem, each, held_out).score)(z)


def _network_drawer(estimator: posterity.Estimator) -> Drawer:
    def draw(fold: Fold) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        q = estimator.posterior(_arrays(fold.x, fold.y, estimator.problem)).q
        z = np.asarray(q.sample(random.key(0), NUM_PREDICTIVE))
        width = next(a.shape[0] for a in estimator.problem.covariates)
        wide = np.pad(fold.x_new, ((0, 0), (0, width - fold.x_new.shape[1])))
        return estimator.problem, z, _arrays(wide, fold.y_new, estimator.problem)

    return draw


def _arrays(x: np.ndarray, y: np.ndarray, problem: Problem) -> dict[str, np.ndarray]:
    return {"x": x.astype(np.float32), "y": y.astype(next(a.dtype for a in problem.data))}


def _drawers(setting: Setting, preset: str) -> dict[str, Drawer]:
    """Draws of exact and sampled posteriors, of the model at the table's own width."""
    sizes = PRESETS[preset]
    name, options = setting.model, dict(setting.options)
    if name == "categorical_regression":  # the difference of both classes' weights, which is all that predicts
        name = "logistic_regression"
        options = {"prior_sd": PRIOR_SD_OF_DIFFERENCE, "temperature": options["temperature"]}

    def problem_of(fold: Fold) -> Problem:
        width = fold.x.shape[1]
        entry = posterity.MODELS[name]
        return entry.problem((len(fold.y), len(fold.y)), (width, width), covariates="normal", check=False, **options)

    def whole(fold: Fold, problem: Problem, z: np.ndarray) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        return problem, z, _arrays(fold.x_new, fold.y_new, problem)

    def by_prior(fold: Fold) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        problem = problem_of(fold)
        keys = random.split(random.key(0), NUM_PREDICTIVE)
        x = {"x": jnp.asarray(fold.x, jnp.float32)}
        return whole(fold, problem, np.asarray(vmap(lambda k: problem.sample_prior(k, x, len(fold.y)))(keys)))

    def by_closed_form(fold: Fold) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        design = np.column_stack([fold.x, np.ones(len(fold.x))])
        precision = np.eye(design.shape[1]) + design.T @ design / 0.25
        mean = np.linalg.solve(precision, design.T @ fold.y / 0.25)
        z = np.random.default_rng(0).multivariate_normal(mean, np.linalg.inv(precision), NUM_PREDICTIVE)
        return whole(fold, problem_of(fold), z.astype(np.float32))

    def by_answer(fold: Fold) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        problem = problem_of(fold)
        estimator = posterity.informed_estimator(problem, check=False)
        answer = estimator.infer(_arrays(fold.x, fold.y, problem), refine_seconds=sizes.refine_seconds)
        return whole(fold, problem, _equal_draws(problem, answer))

    def by_nuts(fold: Fold) -> tuple[Problem, np.ndarray, dict[str, np.ndarray]]:
        from posterity.trust.nuts import nuts_reference

        problem = problem_of(fold)
        found = nuts_reference(problem, _arrays(fold.x, fold.y, problem), num_warmup=500, num_draws=250)
        flat = [found.draws[s.name].reshape(len(found.draws[s.name]), -1) for s in problem.space.sites]
        chosen = np.random.default_rng(0).permutation(len(flat[0]))[:NUM_PREDICTIVE]
        return whole(fold, problem, np.concatenate(flat, axis=1)[chosen])

    return {"prior": by_prior, "exact": by_closed_form, "informed": by_answer, "nuts": by_nuts}


def _equal_draws(problem: Problem, answer: posterity.Answer) -> np.ndarray:
    flat = [answer.draws[s.name].reshape(answer.num_draws, -1) for s in problem.space.sites]
    log_weights = answer.trusted_log_weights
    rng = np.random.default_rng(0)
    weights = None if log_weights is None else np.exp(log_weights) / np.exp(log_weights).sum()
    return np.concatenate(flat, axis=1)[rng.choice(answer.num_draws, NUM_PREDICTIVE, p=weights)]
