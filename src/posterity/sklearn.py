"""Posterity in the manners of scikit-learn: estimators for pipelines, cross-validation and grids (extra `sklearn`).

    from posterity.sklearn import PosteriorRegressor

    PosteriorRegressor().fit(x, y).predict(x_new, return_std=True)

A built-in model takes numbers, z-scored here; a formula takes a frame whose columns it names.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, check_is_fitted, column_or_1d, validate_data

from posterity.estimator.infer import infer
from posterity.inference.posterior import Posterior
from posterity.model.builtin import MODELS
from posterity.runtime.defaults import NUM_DRAWS, REFINE_SECONDS
from posterity.runtime.errors import InputError, lookup
from posterity.tables.formula import names_formula, parse_formula
from posterity.tables.read import as_frame

__all__ = ["PosteriorClassifier", "PosteriorRegressor"]


class _PosteriorEstimator(BaseEstimator):
    """What both have in common.

    Attributes:
        posterior_: The checked posterior; of a built-in model in z-scores.
        verdict_: How far to trust it; a `ConvergenceWarning` is given where it is `untrusted`.
        n_features_in_: Columns.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        family: str | None = None,
        priors: Mapping[str, str] | None = None,
        num_draws: int = NUM_DRAWS,
        refine_seconds: float = REFINE_SECONDS,
        random_state: Any = 0,
    ):
        self.model = model
        self.family = family
        self.priors = priors
        self.num_draws = num_draws
        self.refine_seconds = refine_seconds
        self.random_state = random_state

    @property
    def _is_formula(self) -> bool:
        return self.model is not None and names_formula(self.model)

    def _settings(self) -> dict[str, Any]:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return {"num_draws": self.num_draws, "seed": seed, "refine_seconds": self.refine_seconds}

    def _fit_formula(self, x: Any, y: np.ndarray) -> None:
        """A frame, with the response added under the name that the formula has for it."""
        assert self.model is not None
        _check_feature_names(self, x, reset=True)
        frame, _ = as_frame(x, "X")
        if len(y) != frame.height:
            raise InputError(f"fit: X has {frame.height} rows and y {len(y)}; give one response for each row")
        self.n_features_in_ = frame.width
        response = parse_formula(self.model).response
        frame = frame.with_columns(pl.Series(response, y))
        given = {name: value for name, value in (("family", self.family), ("priors", self.priors)) if value is not None}
        self._keep(infer(self.model, frame, source="X", **given, **self._settings()))

    def _fit_arrays(self, model: str, x: np.ndarray, y: np.ndarray, options: Mapping[str, Any]) -> None:
        """The columns as z-scores; one that does not vary is zero, and tells nothing of its weight."""
        for name, value in (("family", self.family), ("priors", self.priors)):
            if value is not None:
                raise InputError(f"fit: '{name}' is for formulas such as 'y ~ x'; '{model}' has its own")
        sd = x.std(axis=0)
        self._x_mean, self._x_sd = x.mean(axis=0), np.where(sd > 1e-12 * np.abs(x).max(axis=0, initial=0.0), sd, 1.0)
        dataset = {"x": (x - self._x_mean) / self._x_sd, "y": y}
        self._keep(infer(model, dataset, options=dict(options) or None, **self._settings()))

    def _keep(self, posterior: Any) -> None:
        assert isinstance(posterior, Posterior)
        self.posterior_, self.verdict_ = posterior, posterior.verdict
        if posterior.verdict == "untrusted":
            warnings.warn(f"the posterior is untrusted: {posterior.reasons[0]}", ConvergenceWarning, stacklevel=3)

    def _new_rows(self, x: Any) -> Any:
        """New rows as the posterior takes them."""
        check_is_fitted(self)
        if self._is_formula:
            _check_feature_names(self, x, reset=False)
            return as_frame(x, "X")[0]
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return {"x": (x - self._x_mean) / self._x_sd}


class PosteriorRegressor(RegressorMixin, _PosteriorEstimator):
    """Regression by a checked posterior.

    Args:
        model: `linear_regression` if None; `poisson_regression`, another built-in regression, or a formula, for which X
            must be a frame with the columns that it names.
        family: Of the response of a formula.
        priors: Of the latents of a formula.
        num_draws: Draws of the posterior.
        refine_seconds: Most time for chains where the weights are unhealthy.
        random_state: Seed, or a generator of NumPy's.
    """

    def fit(self, X: Any, y: Any) -> "PosteriorRegressor":
        """Infers the posterior.

        Args:
            X: Shape `(row, column)`; a frame for a formula.
            y: Shape `(row,)`.
        """
        if self._is_formula:
            self._y_mean, self._y_sd = 0.0, 1.0
            self._fit_formula(X, column_or_1d(y))
            return self
        model = self.model or "linear_regression"
        entry = lookup("model", model, MODELS)
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        is_real = entry.target == ("y", "float32")
        sd = float(np.std(y))
        self._y_mean = float(np.mean(y)) if is_real else 0.0
        self._y_sd = sd if is_real and sd > 1e-12 * float(np.abs(y).max()) else 1.0
        scaled = (y - self._y_mean) / self._y_sd if is_real else y.astype(np.int64)
        self._fit_arrays(model, X, scaled, {})
        return self

    def predict(self, X: Any, return_std: bool = False, interval: float | None = None) -> Any:
        """Means of new observations.

        Args:
            X: New rows.
            return_std: Give their standard deviations, too, noise included.
            interval: Give the bounds, too, between which a new observation lies with this probability.

        Returns:
            Means, shape `(row,)`; with `return_std` a tuple with the sds, with `interval` with both bounds, last.
        """
        rows = self._new_rows(X)
        found = self.posterior_.predict(rows, interval=interval or 0.9)
        results = [self._y_mean + self._y_sd * found.mean]
        if return_std:
            results.append(self.sample_y(X, self.num_draws).std(axis=1))
        if interval is not None:
            results += [self._y_mean + self._y_sd * bound for bound in (found.lower, found.upper)]
        return results[0] if len(results) == 1 else tuple(results)

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> np.ndarray:
        """New observations, shape `(row, sample)`, as Gaussian processes of scikit-learn give them.

        Args:
            X: New rows.
            n_samples: For each row.
            random_state: Seed, or a generator of NumPy's.
        """
        rows = self._new_rows(X)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        return self._y_mean + self._y_sd * self.posterior_.sample(rows, n_samples, seed=seed).T


class PosteriorClassifier(ClassifierMixin, _PosteriorEstimator):
    """Classification by a checked posterior.

    Args:
        model: If None, `logistic_regression` for two classes and `categorical_regression` for more. Or a formula, of
            family `bernoulli` or `categorical`, for which X must be a frame.
        family: Of the response of a formula; by the number of classes if None.
        priors: Of the latents of a formula.
        num_draws: Draws of the posterior.
        refine_seconds: Most time for chains where the weights are unhealthy.
        random_state: Seed, or a generator of NumPy's.

    Attributes:
        classes_: Labels, sorted.
    """

    def fit(self, X: Any, y: Any) -> "PosteriorClassifier":
        """Infers the posterior.

        Args:
            X: Shape `(row, column)`; a frame for a formula.
            y: Labels of classes, shape `(row,)`.
        """
        if self._is_formula:
            y = column_or_1d(y)
        else:
            X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        number = len(self.classes_)
        if number < 2:
            raise InputError(f"fit: y has one class only, {self.classes_[0]!r}; a classifier takes two or more classes")
        if self._is_formula:
            given = self.family
            self.family = given or ("bernoulli" if number == 2 else "categorical")
            try:
                self._fit_formula(X, codes)
            finally:
                self.family = given
        elif number == 2:
            self._fit_arrays(self.model or "logistic_regression", X, codes, {})
        else:
            self._fit_arrays(self.model or "categorical_regression", X, codes, {"num_classes": number})
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, shape `(row, class)`, averaged over the posterior."""
        rows = self._new_rows(X)
        chances = self.posterior_.predict(rows).mean
        return chances / chances.sum(axis=1, keepdims=True)  # 1 up to rounding

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        chances = self.predict_proba(X)
        return self.classes_[np.argmax(chances, axis=1)]
