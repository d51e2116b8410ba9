"""Many small datasets answered as columns: the same answers as one by one, whatever stands beside them."""

import collections

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from posterity.estimator.group_answers import _answered
from posterity.estimator.infer import open_table
from posterity.inference import plain
from posterity.results.to_json import posterior_to_json

SETTINGS = {"num_draws": 100, "seed": 2, "refine_seconds": 0.0}
SIZES = [3, 5, 8, 9, 30, 30, 70]


def question(model, sizes=SIZES, spoiled=None):
    """Groups of these sizes; one of them with a covariate that is far from the others'."""
    rng = np.random.default_rng(1)
    store = np.repeat([f"s{i}" for i in range(len(sizes))], sizes)
    x = rng.normal(size=(store.size, 2))
    eta = x @ (1.0, -0.5) + 0.3
    y = eta + 0.5 * rng.normal(size=store.size) if model == "linear_regression" else eta > rng.logistic(size=store.size)
    if spoiled is not None:
        x[store == f"s{spoiled}", 0] = 1e6 + 1e-3 * x[store == f"s{spoiled}", 0]
    frame = pl.DataFrame({"store": store, "a": x[:, 0], "b": x[:, 1], "y": y.astype(float)})
    return open_table(model, frame, target="y", group="store")


@pytest.mark.parametrize(("model", "sds"), [("linear_regression", 0.02), ("logistic_regression", 1e-4)])
def test_numbers_and_reasons_are_those_of_one_by_one(model, sds, monkeypatch):
    """By the rows themselves to rounding of 32 bits; by their sums to a fiftieth of an sd, as tails of scales go."""
    counts = collections.Counter()
    answer = plain._Answering.answer
    monkeypatch.setattr(
        plain._Answering, "answer", lambda self, chosen: counts.update(n=len(chosen)) or answer(self, chosen)
    )
    asked = question(model)
    _, entries = _answered(asked, SETTINGS, with_entries=True)
    assert counts["n"] == len(SIZES)
    assert sum(entry["verdict"] == "corrected" for entry in entries) >= 5
    for entry, posterior in zip(entries, asked.posteriors(**SETTINGS), strict=True):
        alone = posterior_to_json(posterior)
        assert entry.pop("by_sums", False) == (
            model == "linear_regression" and posterior.num_rows > 3 and posterior.verdict == "corrected"
        )
        assert list(entry) == [key for key in alone if key in entry] and set(entry) == set(alone)
        assert {k: entry[k] for k in ("name", "num_rows", "verdict", "reasons")} == {
            k: alone[k] for k in ("name", "num_rows", "verdict", "reasons")
        }
        if entry["verdict"] == "corrected":
            assert_allclose(entry["log_evidence"]["value"], alone["log_evidence"]["value"], atol=1e-3)
        assert_allclose(entry["ess"], alone["ess"], rtol=1e-3)
        for told in ("latents", "table_units"):
            for label, line in alone[told].items():
                found = np.array(list(entry[told][label].values()))
                assert_allclose(found, list(line.values()), rtol=0, atol=sds * line["sd"])


def test_an_answer_is_the_same_bits_in_any_company():
    whole, _ = _answered(question("linear_regression"), SETTINGS)
    asked = question("linear_regression")
    for names in (["s4"], ["s6", "s4", "s1"]):
        some, _ = _answered(asked._replace(datasets={n: asked.datasets[n] for n in names}), SETTINGS)
        assert some["name"].unique(maintain_order=True).to_list() == names
        for name in names:
            assert some.filter(pl.col("name") == name).equals(whole.filter(pl.col("name") == name))


def test_what_is_out_of_the_ordinary_is_left_to_the_other_road():
    """A column that 32 bits cannot hold, and one that lies far from its scale: with its reason."""
    frame, entries = _answered(question("linear_regression", spoiled=4), SETTINGS, with_entries=True)
    assert [entry["name"] for entry in entries] == [f"s{i}" for i in range(len(SIZES))]
    assert frame["name"].unique(maintain_order=True).to_list() == [f"s{i}" for i in range(len(SIZES))]
    assert "by_sums" not in entries[4] and "far from" in entries[4]["reasons"][-1]


def test_answers_that_disagree_with_their_rows_are_not_told(monkeypatch):
    """The log joint is computed again from all rows: a wrong shortcut leaves its datasets to the other road."""
    right, _ = _answered(question("linear_regression"), SETTINGS)
    same_sums = plain.same_sums
    monkeypatch.setattr(plain, "same_sums", lambda *given: tuple(1.05 * part for part in same_sums(*given)))
    _, entries = _answered(question("linear_regression"), SETTINGS, with_entries=True)
    assert not any(entry.get("by_sums") for entry in entries)
    assert [entry["verdict"] for entry in entries] == right.unique("name", maintain_order=True)["verdict"].to_list()
