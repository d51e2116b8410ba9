"""`fit`: quiet about the model's own data, loud about others, and honest about how many statistics were looked at."""

import numpy as np
import pytest

import posterity
from posterity.report.page import report_html
from posterity.results.discrepancies import class_scores, discrepancies, normal_scores, outlyingness
from posterity.results.fit import Fit, _judged

NUM_ROWS, NUM_REPLICATED = 64, 400


def judged(rng, change=lambda y, x, g: y):
    """Standard normal data against replications of them, nothing fitted, so that p-values are uniform."""
    x, g = rng.normal(size=(NUM_ROWS, 2)), rng.integers(0, 4, NUM_ROWS)
    y = rng.normal(size=(1 + NUM_REPLICATED, NUM_ROWS))
    y[0] = change(y[0], x, g)
    found = {"largest residual": (outlyingness(y), False)}
    scores = normal_scores(y, rng)
    for name, values, two_sided in discrepancies(scores, np.median(y, axis=0), x, {"g": g}, is_class=False):
        found[name] = values, two_sided
    return _judged(found)


def test_data_of_the_model_are_flagged_as_often_as_said():
    """Of 300: more than 40 below 0.05 (15 are expected), or fewer than 100 or more than 200 below 0.5, is 1 in 10^7."""
    p_values = np.array([judged(np.random.default_rng(i)).p_value for i in range(300)])
    assert np.sum(p_values < 0.05) <= 40 and 100 <= np.sum(p_values < 0.5) <= 200


@pytest.mark.parametrize(
    ("change", "seen_by"),
    [
        (lambda y, x, g: 2.5 * y, "spread"),
        (lambda y, x, g: 0.3 * y, "spread"),
        (lambda y, x, g: y + 8.0 * (np.arange(NUM_ROWS) == 5), "largest residual"),
        (lambda y, x, g: y + x[:, 1], "slope along a covariate"),
        (lambda y, x, g: y + x[:, 0] * x[:, 1], "bend or product of covariates"),
        (lambda y, x, g: y * np.exp(x[:, 0]), "spread that grows"),
        (lambda y, x, g: y + np.array([-1.5, 1.0, 0.5, 0.0])[g], "differences between groups of 'g'"),
        (lambda y, x, g: y + 2.0 * np.sign(np.sin(np.arange(NUM_ROWS) / 4.0)), "likeness of neighbouring rows"),
    ],
)
def test_each_statistic_sees_what_it_is_for(change, seen_by):
    """By far the oddest, so the smallest p-value there is, whichever statistic is odd."""
    found = judged(np.random.default_rng(1), change)
    assert found.is_suspicious and found.p_value == pytest.approx(1.0 / (1 + NUM_REPLICATED))
    assert seen_by in [statistic.name for statistic in found.statistics if statistic.p_value < 0.01]


def test_ties_are_broken_at_random():
    """Zeros throughout: were the data always first or last, their scores would all lie on one side."""
    scores = normal_scores(np.zeros((101, 50)), np.random.default_rng(0))
    assert 10 < np.sum(scores[0] > 0.0) < 40  # 25 +- 3.5
    halves = normal_scores(np.full((101, 50), 0.5), np.random.default_rng(0))
    assert len(np.unique(halves[:, 0])) == 101


def test_classes_are_standardised_where_both_are_possible():
    is_class = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    scores, chance = class_scores(is_class)
    assert chance.tolist() == [0.5, 0.0, 1.0]
    assert scores[:, 0].tolist() == [1.0, -1.0, 1.0, -1.0] and not scores[:, 1:].any()


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 2))
    return {"x": x, "y": x @ [0.6, -0.6] + 0.4 * rng.normal(size=40)}


def test_a_posterior_says_whether_its_data_look_like_the_model(rows):
    good = posterity.infer("linear_regression", rows)
    assert good.fit is good.fit  # once
    assert isinstance(good.fit, Fit) and not good.fit.is_suspicious
    assert str(good.fit).startswith("Nothing seen against the model: p = ")
    assert str(good.fit) in report_html(good)
    y = rows["y"].copy()
    y[7] += 6.0
    bad = posterity.infer("linear_regression", {**rows, "y": y})
    assert bad.verdict == "corrected" and bad.fit.is_suspicious  # the computation is fine, the model is not
    assert "largest residual of y" in str(bad.fit)


def test_what_cannot_be_looked_at_is_refused(rows):
    few = posterity.infer("linear_regression", {"x": rows["x"][:3], "y": rows["y"][:3]})
    assert len(few.fit.statistics) == 1  # the largest residual alone
