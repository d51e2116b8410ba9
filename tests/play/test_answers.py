"""The models of the playground: answered, drawn, and right."""

import numpy as np
import pytest

from posterity.play.answers import Answers
from posterity.play.modes import MODES, Points

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers():
    return Answers()


def settings(key):
    return {slider.name: slider.value for slider in MODES[key].sliders}


@pytest.mark.parametrize("key", MODES)
def test_a_mode_is_answered_as_nuts_answers_it(answers, key):
    ours = answers.posterior(key, MODES[key].start, settings(key), refine=False)
    theirs = answers.nuts(key, MODES[key].start, settings(key))
    assert ours["verdict"] == "corrected" and theirs["converged"]
    for mine, other in zip(ours["latents"], theirs["latents"], strict=True):
        # Standard errors of both means: 5 of them on each side are exceeded once in 1e6.
        error = mine["sd"] / np.sqrt(ours["ess"]) + other["sd"] / np.sqrt(theirs["min_ess"])
        assert abs(mine["mean"] - other["mean"]) < 5 * error, mine["label"]
        assert mine["low"] < mine["mean"] < mine["high"]
    for answer in (ours, theirs):
        values = [np.ravel(mark[name]) for mark in answer["marks"] for name in mark if name not in ("mark", "kind")]
        assert answer["marks"] and all(np.isfinite(value).all() for value in values)


@pytest.mark.parametrize("key", MODES)
def test_a_slider_and_a_point_change_the_answer(answers, key):
    entry = MODES[key]
    before = answers.posterior(key, entry.start, settings(key), refine=False)
    for slider in entry.sliders:
        after = answers.posterior(key, entry.start, settings(key) | {slider.name: slider.low * 2}, refine=False)
        assert after["marks"] != before["marks"]
    moved = Points(entry.start.x + np.eye(entry.start.x.size)[0], entry.start.y + 0.5, entry.start.kind)
    assert answers.posterior(key, moved, settings(key), refine=False)["marks"] != before["marks"]


def test_a_line_through_far_points_has_more_noise(answers):
    start = MODES["line"].start
    y = start.y.copy()
    y[0] = 2.9
    sigma = [
        answers.posterior("line", Points(start.x, at, start.kind), settings("line"), refine=False)["latents"][2]["mean"]
        for at in (start.y, y)
    ]
    assert sigma[1] > 2 * sigma[0]


def test_chains_go_on_when_asked(answers):
    """Two classes far apart under a very wide prior: whatever comes, it has a verdict and a picture."""
    at = Points(np.array([-3.0, -2.9, 2.9, 3.0]), np.zeros(4), np.array([0, 0, 1, 1]))
    answer = answers.posterior("classes", at, {"prior_scale": 10.0}, refine=True)
    assert answer["verdict"] in ("corrected", "refined") and answer["marks"]
