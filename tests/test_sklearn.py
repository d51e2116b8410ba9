"""scikit-learn's own checks, and what people do with its estimators: pipelines, cross-validation, copies, formulas."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from posterity.runtime.errors import InputError
from posterity.sklearn import PosteriorClassifier, PosteriorRegressor

FAST = {"num_draws": 400, "refine_seconds": 0.0}
NOISE = "a mean of draws of new observations, whose noise goes by the place of a row"
EXPECTED = {
    PosteriorRegressor: {"check_methods_sample_order_invariance": NOISE, "check_methods_subset_invariance": NOISE},
    PosteriorClassifier: {},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", EXPECTED)
def test_checks_of_scikit_learn(kind):
    results = check_estimator(kind(num_draws=200, refine_seconds=0.0), expected_failed_checks=EXPECTED[kind])
    assert len(results) > 40


@pytest.fixture(scope="module")
def rows():
    """Three columns of other scales, the last constant; the response, and two classes by its sign."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(5.0, 2.0, 80), rng.normal(0.0, 0.01, 80), np.full(80, 3.0)])
    y = 100.0 + 7.0 * x[:, 0] + 500.0 * x[:, 1] + rng.normal(0.0, 4.0, 80)
    return x, y, np.where(y > 135.0, "high", "low")


@pytest.fixture(scope="module")
def fitted(rows):
    return PosteriorRegressor(num_draws=2000, refine_seconds=0.0).fit(rows[0], rows[1])


def test_a_regression_is_that_of_least_squares_in_the_users_units(rows, fitted):
    """80 rows under standard normal priors on z-scores: means within a tenth of the noise sd of least squares."""
    x, y, _ = rows
    design = np.column_stack([np.ones(80), x[:, :2]])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    mean, sd, lower, upper = fitted.predict(x, return_std=True, interval=0.9)
    assert fitted.verdict_ == "corrected" and fitted.score(x, y) > 0.9
    assert np.abs(mean - expected).max() < 0.15 * 4.0 + 5.0 * 4.0 / 2000**0.5
    residual = np.sqrt(np.sum((y - expected) ** 2) / 77)
    assert_allclose(sd, residual, rtol=0.15)  # of a sd from 2000 draws: 5 standard errors and a little for latents
    assert_allclose((upper - lower) / sd, 2.0 * stats.norm.ppf(0.95), rtol=0.15)


def test_samples_have_the_moments_that_are_predicted(rows, fitted):
    samples = fitted.sample_y(rows[0][:5], 2000, random_state=1)
    mean, sd = fitted.predict(rows[0][:5], return_std=True)
    assert samples.shape == (5, 2000)
    assert np.all(np.abs(samples.mean(axis=1) - mean) < 7.0 * sd / 2000**0.5)  # both means are of 2000 draws
    assert not np.array_equal(samples, fitted.sample_y(rows[0][:5], 2000, random_state=2))
    assert np.array_equal(samples, fitted.sample_y(rows[0][:5], 2000, random_state=1))


def test_it_lives_in_pipelines_and_is_cross_validated(rows):
    x, y, labels = rows
    assert cross_val_score(make_pipeline(StandardScaler(), PosteriorRegressor(**FAST)), x, y, cv=3).min() > 0.8
    scores = cross_val_score(PosteriorClassifier(**FAST), x, labels, cv=3, scoring="accuracy")
    assert scores.min() > 0.75


def test_probabilities_have_the_order_of_the_classes(rows):
    x, _, labels = rows
    fitted = PosteriorClassifier(**FAST).fit(x, labels)
    chances = fitted.predict_proba(x)
    assert fitted.classes_.tolist() == ["high", "low"] and chances.shape == (80, 2)
    assert_allclose(chances.sum(axis=1), 1.0)
    assert (chances[labels == "high", 0].mean() > 0.75) and (chances[labels == "low", 0].mean() < 0.25)
    assert (fitted.predict(x) == labels).mean() > 0.85


def test_three_classes(rows):
    x = rows[0]
    third = np.digitize(x[:, 0], [4.0, 6.0])
    fitted = PosteriorClassifier(**FAST).fit(x, third)
    assert fitted.predict_proba(x).shape == (80, 3) and fitted.score(x, third) > 0.7


def test_copies_and_pickles_predict_the_same(rows, fitted):
    assert clone(fitted).get_params() == fitted.get_params()
    restored = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(restored.predict(rows[0]), fitted.predict(rows[0]))


def test_a_formula_takes_a_frame(rows):
    x, y, labels = rows
    frame = pd.DataFrame({"size": x[:, 0], "tilt": x[:, 1], "shop": [f"s{i % 4}" for i in range(80)]})
    fitted = PosteriorRegressor("y ~ size + tilt + shop", **FAST).fit(frame, y)
    assert fitted.score(frame, y) > 0.9 and fitted.n_features_in_ == 3
    assert fitted.posterior_.summary()["latent"][1] == "size"  # in the units of the frame
    assert fitted.sample_y(frame.head(3), 7).shape == (3, 7)
    chances = PosteriorClassifier("label ~ size", **FAST).fit(frame, labels).predict_proba(frame)
    assert chances.shape == (80, 2) and chances[labels == "low", 1].mean() > 0.7
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["tilt", "size", "shop"]])


def test_mistakes_are_named(rows):
    x, y, _ = rows
    with pytest.raises(InputError, match="Did you mean 'linear_regression'"):
        PosteriorRegressor("linear_regresion").fit(x, y)
    with pytest.raises(InputError, match="'family' is for formulas"):
        PosteriorRegressor(family="normal").fit(x, y)
    with pytest.raises(InputError, match="one class only"):
        PosteriorClassifier().fit(x, np.zeros(80, int))
