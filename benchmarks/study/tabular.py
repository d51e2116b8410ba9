"""Real tables, zero-shot (the paper's Table 3): networks of variable dimension, and what else one would use."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array

import posterity
from posterity.model.dataset import Dataset
from posterity.runtime.compile import filter_jit
from study.job import Job
from study.methods.informed import flat_draws
from study.metrics.measures import NUM_PREDICTIVE, summary
from study.metrics.predictive import predict_rows
from study.presets import PRESETS
from study.settings import Setting
from study.tables import Fold, Table, folds, tables
from study.tasks import SETTINGS

__all__ = ["do", "jobs", "mean_score", "network_rows", "predict_mean", "ridge"]

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
    predict = {"predict_mean": predict_mean, "majority": predict_mean, "ridge": ridge, "map": _logistic_map}
    if job.method in predict:
        scores = {t.name: mean_score(t, predict[job.method]) for t in _tables_for(setting)}
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


def mean_score(table: Table, predict: Callable[[Fold, bool], np.ndarray]) -> float:
    """Mean over folds of the squared error or the accuracy in percent of one prediction."""
    found = []
    for fold in folds(table):
        guess = predict(fold, table.is_class)
        hit = 100.0 * (guess == fold.y_new) if table.is_class else np.square(guess - fold.y_new)
        found.append(hit.mean())
    return float(np.mean(found))


def predict_mean(fold: Fold, is_class: bool) -> np.ndarray:
    """The training rows' mean, or their more frequent class."""
    level = float(fold.y.mean() > 0.5) if is_class else fold.y.mean()
    return np.full(len(fold.y_new), level)


def ridge(fold: Fold, is_class: bool) -> np.ndarray:
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


Drawn = tuple[posterity.Model, np.ndarray, dict[str, np.ndarray]]
Drawer = Callable[[Fold], Drawn]


def _mean_score_of_draws(table: Table, draw: Drawer, setting: Setting) -> float:
    """The paper's score: averaged over 25 single draws, rows and folds; in percent for accuracy."""
    found = []
    for fold in folds(table):
        model, z, new = draw(fold)
        found.append(_score(model, z, new, fold.x.shape[1]))
    return float(np.mean(found)) * (100.0 if setting.score == "accuracy" else 1.0)


def _score(model: posterity.Model, z: np.ndarray, new: dict[str, np.ndarray], num_columns: int) -> float:
    """Mean over draws and rows; rows are padded to a power of two, so that few sizes are compiled."""
    num_rows = len(new["y"])
    padding = max(64, 1 << (num_rows - 1).bit_length()) - num_rows
    rows = {
        name: jnp.asarray(np.concatenate([array, array[:1].repeat(padding, axis=0)])) for name, array in new.items()
    }
    masks = model.plate_masks({"features": num_columns})
    held_out = Dataset(rows, jnp.ones(num_rows + padding, bool), masks)
    return float(jnp.mean(_scores(model, jnp.asarray(z), held_out)[:, :num_rows]))


@filter_jit
def _scores(model: posterity.Model, z: Array, held_out: Dataset) -> Array:
    return vmap(lambda each: predict_rows(model, each, held_out).score)(z)


def _network_drawer(estimator: posterity.Estimator) -> Drawer:
    def draw(fold: Fold) -> Drawn:
        model = estimator.model
        found = estimator.infer(_arrays(fold.x, fold.y, model), num_draws=NUM_PREDICTIVE, refine_seconds=0.0)
        z = np.asarray(found.proposal.q.sample(random.key(0), NUM_PREDICTIVE))
        width = next(a.shape[0] for a in model.covariates)
        wide = np.pad(fold.x_new, ((0, 0), (0, width - fold.x_new.shape[1])))
        return model, z, _arrays(wide, fold.y_new, model)

    return draw


def _arrays(x: np.ndarray, y: np.ndarray, model: posterity.Model) -> dict[str, np.ndarray]:
    return {"x": x.astype(np.float32), "y": y.astype(next(a.dtype for a in model.data))}


def _drawers(setting: Setting, preset: str) -> dict[str, Drawer]:
    """Draws of exact and sampled posteriors, of the model at the table's own width."""
    sizes = PRESETS[preset]
    name, options = setting.model, dict(setting.options)
    if name == "categorical_regression":  # the difference of both classes' weights, which is all that predicts
        name = "logistic_regression"
        options = {"prior_sd": PRIOR_SD_OF_DIFFERENCE, "temperature": options["temperature"]}

    def model_of(fold: Fold) -> posterity.Model:
        return posterity.MODELS[name].read(fold.x.shape[1], **options)

    def whole(fold: Fold, model: posterity.Model, z: np.ndarray) -> Drawn:
        return model, z, _arrays(fold.x_new, fold.y_new, model)

    def by_prior(fold: Fold) -> Drawn:
        model = model_of(fold)
        keys = random.split(random.key(0), NUM_PREDICTIVE)
        x = {"x": jnp.asarray(fold.x, jnp.float32)}
        return whole(fold, model, np.asarray(vmap(lambda k: model.sample_prior(k, x, len(fold.y)))(keys)))

    def by_closed_form(fold: Fold) -> Drawn:
        design = np.column_stack([fold.x, np.ones(len(fold.x))])
        precision = np.eye(design.shape[1]) + design.T @ design / 0.25
        mean = np.linalg.solve(precision, design.T @ fold.y / 0.25)
        z = np.random.default_rng(0).multivariate_normal(mean, np.linalg.inv(precision), NUM_PREDICTIVE)
        return whole(fold, model_of(fold), z.astype(np.float32))

    def by_informed(fold: Fold) -> Drawn:
        estimator = posterity.informed(name, columns=fold.x.shape[1], **options)
        dataset = _arrays(fold.x, fold.y, estimator.model)
        found = estimator.infer(dataset, name=fold.name, refine_seconds=sizes.refine_seconds)  # a key of its own
        return whole(fold, estimator.model, _some(flat_draws(found, found.draws)))

    def by_nuts(fold: Fold) -> Drawn:
        from posterity.trust.nuts import nuts_reference

        model = model_of(fold)
        found = nuts_reference(model, _arrays(fold.x, fold.y, model), num_warmup=500, num_draws=250)
        flat = [found.draws[s.name].reshape(len(found.draws[s.name]), -1) for s in model.space.sites]
        return whole(fold, model, _some(np.concatenate(flat, axis=1)))

    return {"prior": by_prior, "exact": by_closed_form, "informed": by_informed, "nuts": by_nuts}


def _some(draws: np.ndarray) -> np.ndarray:
    """The draws that predict, from all places."""
    return np.random.default_rng(0).permutation(draws)[:NUM_PREDICTIVE]
