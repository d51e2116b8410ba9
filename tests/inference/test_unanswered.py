"""A dataset that does not fit stops nobody, and says why wherever it is asked for numbers."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import polars as pl
import pytest
from inference.cases import SETTINGS, regression, same_bits

import posterity
from posterity.runtime.errors import InputError

LENGTHS = {"x": np.zeros((4, 2)), "y": np.zeros(3)}
MISSING = {"x": np.zeros((4, 2)), "y": np.array([0.0, np.nan, 1.0, 2.0])}
REASONS = ["all arrays need one entry per row", "'y' has missing or infinite values in 1 of 4 rows, the first in row 1"]


@pytest.fixture(scope="module")
def found(estimator):
    datasets = [regression(7, 0), LENGTHS, MISSING, regression(6, 1)]
    return estimator.infer_each(datasets, names=list("abcd"), **SETTINGS)


def test_a_bad_dataset_is_unanswered_and_the_others_are_unchanged(estimator, found):
    assert [posterior.verdict for posterior in found] == ["corrected", "unanswered", "unanswered", "corrected"]
    assert same_bits(found[0], estimator.infer(regression(7, 0), name="a", **SETTINGS))
    assert same_bits(found[3], estimator.infer(regression(6, 1), name="d", **SETTINGS))
    for posterior, rows, reason in zip(found[1:3], (4, 4), REASONS, strict=True):
        assert reason in posterior.reasons[0] and posterior.num_rows == rows
        assert posterior.num_draws == 0 and posterior.ess == 0.0 and np.isnan(posterior.pareto_k)
        assert reason[:60] in repr(posterior) and len(repr(posterior).splitlines()) == 2


ASKED = {
    "draws": lambda posterior, path: posterior["w"],
    "summary": lambda posterior, path: posterior.summary(),
    "table": lambda posterior, path: posterior.summary(units="table"),
    "predict": lambda posterior, path: posterior.predict({"x": np.zeros((1, 2))}),
    "arviz": lambda posterior, path: posterior.to_arviz(),
    "report": lambda posterior, path: posterior.report(path / "report.html"),
    "proposal": lambda posterior, path: posterior.proposal,
    "evidence": lambda posterior, path: posterior.log_evidence,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_numbers_of_an_unanswered_one_are_refused_with_its_reason(found, ask, tmp_path):
    for posterior, reason in zip(found[1:3], REASONS, strict=True):
        with pytest.raises(InputError, match=reason):
            ask(posterior, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("dataset", "reason"), [(LENGTHS, REASONS[0]), (MISSING, REASONS[1])], ids=["lengths", "nan"])
def test_a_single_bad_dataset_is_refused(estimator, dataset, reason):
    with pytest.raises(InputError, match=reason):
        estimator.infer(dataset, **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_draws": 0}, "number of draws must be from 1 to 1,000,000; got 0"),
        ({"refine_seconds": -1.0}, "time to refine must be at least 0 seconds; got -1.0"),
        ({"refine_seconds": np.nan}, "time to refine must be at least 0 seconds; got nan"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\^63 - 1; got -1"),
    ],
)
def test_settings_that_cannot_serve_are_refused(estimator, settings, message):
    assert estimator.infer_each([], **SETTINGS) == []
    with pytest.raises(InputError, match=message):
        estimator.infer_each([regression(7, 0)], **SETTINGS | settings)


@pytest.mark.parametrize("made", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_a_frame_with_a_column_for_each_argument_is_a_dataset(made):
    def line(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(a * x, 1.0), obs=y)

    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=9), "y": rng.normal(size=9)}
    lined = posterity.informed(line, like=arrays)
    assert same_bits(lined.infer(made(arrays), **SETTINGS), lined.infer(arrays, **SETTINGS))


@pytest.mark.parametrize("dataset", [(np.zeros(3), np.zeros(3)), [1.0], None, 3, "no.csv", {}], ids=str)
def test_what_is_no_dataset_is_refused_by_name_and_stops_nobody(estimator, dataset):
    with pytest.raises(InputError):
        estimator.infer(dataset, **SETTINGS)
    bad, good = estimator.infer_each([dataset, regression(7, 0)], names=["a", "b"], **SETTINGS)
    assert bad.verdict == "unanswered" and bad.num_rows == 0 and good.verdict == "corrected"
