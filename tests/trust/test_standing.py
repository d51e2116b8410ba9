"""What an estimator has shown of itself stands beside its verdicts, and decides over green."""

import dataclasses

import pytest

import posterity
from posterity.report.page import report_html
from posterity.report.words import verdict_words
from posterity.trust.standing import Standing

GOOD = {"ess_fraction": 0.6, "healthy": 0.95, "symmetric_kl": 0.4, "num_datasets": 256, "elbo": -3.0}


def record(**changed):
    return {"training": {"validation": {**GOOD, **changed}}}


def test_a_good_one_has_no_problems_and_tells_its_numbers():
    standing = Standing.of(record())
    assert standing.problems == ()
    assert standing.sentence == (
        "The estimator itself: on 256 held-out datasets a median ESS of 60% of the draws, a healthy k-hat in 95%, "
        "KL(p|q) + KL(q|p) 0.4 nats; not checked by posterity check."
    )


@pytest.mark.parametrize(
    ("of", "problem"),
    [
        (record(ess_fraction=0.03), "few of its draws are effective"),
        (record(healthy=0.2), "the weights of most datasets are unhealthy"),
        (record(symmetric_kl=40.0), "it misses the latents that made the data"),
        ({**record(), "calibration": {"outcome": "not judged"}}, "checked, it is not judged"),
        ({**record(), "calibration": {"outcome": "not calibrated"}}, "checked, it is not calibrated"),
        ({"training": {"validation": None}}, "it was never validated"),
    ],
)
def test_each_problem_is_named(of, problem):
    assert Standing.of(of).problems == (problem,)
    assert "never validated" in Standing.of(of).sentence or "256 held-out" in Standing.of(of).sentence


def test_without_latents_and_with_a_good_check_nothing_is_missing():
    standing = Standing.of({**record(symmetric_kl=None), "calibration": {"outcome": "calibrated"}})
    assert standing.problems == () and standing.sentence.endswith("in 95%; by its check calibrated.")


@pytest.fixture(scope="module")
def corrected():
    rows = {"x": [[0.3], [1.0], [-0.5], [0.2]], "y": [0.1, 0.9, -0.4, 0.3]}
    return posterity.infer("linear_regression", rows)


def test_green_needs_both(corrected):
    """The verdict speaks of the weights alone; headline, tone and text of both."""
    assert corrected.standing is None and verdict_words(corrected).headline == "The computation can be relied on."
    good = dataclasses.replace(corrected, standing=Standing.of(record()))
    bad = dataclasses.replace(corrected, standing=Standing.of(record(ess_fraction=0.03)))
    assert verdict_words(good).headline == "The computation can be relied on." and not good.is_doubtful
    assert bad.verdict == "corrected" and bad.is_doubtful
    assert "does not" in verdict_words(bad).headline and "few of its draws are effective" in verdict_words(bad).limits
    assert 'class="verdict corrected"' in report_html(good) and 'class="verdict refined"' in report_html(bad)
    assert "corrected by a doubtful estimator" in repr(bad) and "doubtful" not in repr(good)
