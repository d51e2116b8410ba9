"""Many datasets at once: the answers that each would get alone, and no one stopped by another."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import posterity
from posterity import inference
from posterity.runtime.errors import InputError


def regression(num_rows, seed, num_columns=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_rows, num_columns))
    return {"x": x, "y": x[:, 0] + 0.5 * rng.normal(size=num_rows)}


@pytest.fixture(scope="module")
def estimator():
    return posterity.informed_estimator("linear_regression_known_noise", columns=(1, 2), check=False)


def test_a_batch_gives_what_each_would_get_alone(estimator, monkeypatch):
    """Two padded sizes, a batch that must be split, plates of two sizes; float32 sums may differ in their order."""
    monkeypatch.setattr(inference, "TOGETHER", 2)
    datasets = [
        regression(7, 0),
        regression(12, 1),
        regression(8, 2, num_columns=1),
        regression(5, 3),
        regression(9, 4),
    ]
    done = []
    found = estimator.infer_many(datasets, num_draws=60, seed=3, groups=list("abcde"), on_progress=done.append)
    assert [answer.group for answer in found] == list("abcde")
    assert sorted(done) == [1, 2, 3, 4, 5]
    for answer, dataset in zip(found, datasets, strict=True):
        alone = estimator.infer(dataset, num_draws=60, seed=3)
        assert answer.num_rows == len(dataset["y"]) and answer.verdict == alone.verdict == "corrected"
        assert answer.draws["w"].shape == (60, dataset["x"].shape[1])
        assert_allclose(answer.draws["w"], alone.draws["w"], atol=1e-4)
        assert_allclose(answer.log_joint, alone.log_joint, rtol=1e-4, atol=1e-3)


def test_a_bad_member_stops_nobody(estimator):
    bad = {"x": np.zeros((4, 2)), "y": np.zeros(3)}
    infinite = {"x": np.zeros((4, 2)), "y": np.array([0.0, np.nan, 1.0, 2.0])}
    first, second, third, fourth = estimator.infer_many(
        [regression(7, 0), bad, infinite, regression(6, 1)], num_draws=40
    )
    assert first.verdict == fourth.verdict == "corrected"
    assert isinstance(second, posterity.Unanswered) and second.verdict == "untrusted"
    assert "all arrays need one entry per row" in second.reasons[0]
    assert isinstance(third, posterity.Unanswered) and "'y'" in third.reasons[0]


def test_settings_that_cannot_serve_are_refused(estimator):
    assert estimator.infer_many([]) == []
    with pytest.raises(InputError, match="number of draws must be at least 1"):
        estimator.infer_many([regression(7, 0)], num_draws=0)
    with pytest.raises(InputError, match="2 groups for 1 datasets"):
        estimator.infer_many([regression(7, 0)], groups=["a", "b"])
