"""The log joint is computed twice: a program that computes wrongly is noticed, one that rounds is not."""

import jax.numpy as jnp
import numpy as np
import pytest

import posterity
from posterity import inference
from posterity.trust.agreement import NUM_LOOKED_AT, disagreement, worth_a_look


def dataset(num_rows=40):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 2))
    return {"x": x, "y": x @ [1.0, -0.5] + rng.normal(size=num_rows)}


@pytest.fixture
def wrong_beyond_512(monkeypatch):
    """As the compiler does it: every density from the 513th draw on is off."""
    right = inference._log_joints

    def wrong(problem, z, dataset):
        values = right(problem, z, dataset)
        return jnp.where(jnp.arange(len(values)) < 512, values, values + 3.0)

    monkeypatch.setattr(inference, "_log_joints", wrong)


def test_a_miscompiled_log_joint_makes_no_trusted_answer(wrong_beyond_512):
    estimator = posterity.informed_estimator("linear_regression", dataset())
    for answer in (estimator.infer(dataset()), *estimator.infer_many([dataset()] * 2)):
        assert answer.verdict == "untrusted"
        assert "computed twice came out differently" in answer.reasons[0]
        assert answer.refinement is None  # chains would climb the same wrong density


def test_a_right_log_joint_passes():
    answer = posterity.informed_estimator("linear_regression", dataset()).infer(dataset())
    assert answer.verdict == "corrected"


def test_half_of_those_looked_at_are_spread_and_half_carry_the_weight():
    log_ratios = np.zeros(1000)
    log_ratios[[3, 700, 701, 702]] = [5.0, 9.0, 8.0, 7.0]
    assert worth_a_look(log_ratios).tolist() == [0, 333, 666, 999, 700, 701, 702, 3]


@pytest.mark.parametrize("num_draws", [1, 2, 5, 1000])
def test_as_many_draws_are_looked_at_whatever_their_number(num_draws):
    chosen = worth_a_look(np.full(num_draws, np.nan))
    assert len(chosen) == NUM_LOOKED_AT
    assert set(chosen) <= set(range(num_draws))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([-100.0, -np.inf], [-100.001, -np.inf], None),
        ([-1e6], [-1e6 + 5.0], None),  # rounding of a million nats
        ([-100.0, np.nan], [-100.0, np.nan], None),
        ([-100.0], [-100.1], r"-100 and -100.1"),
        ([-100.0, np.nan], [-100.0, -50.0], r"1 of 2 draws .* \(nan and -50"),
        ([-np.inf], [-50.0], r"\(-inf and -50"),
    ],
)
def test_only_what_rounding_cannot_explain_is_told(first, second, told):
    first, second = np.array(first, np.float32), np.array(second, np.float32)
    found = disagreement(first, second, np.maximum(np.abs(np.nan_to_num(second, neginf=0.0)), 1.0))
    if told is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=told):
            raise AssertionError(found)
