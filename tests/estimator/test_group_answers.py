"""Answers of many groups are written as they come, and an interrupted run goes on where it stopped."""

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

import posterity
from posterity.estimator import group_answers
from posterity.estimator.group_answers import write_groups
from posterity.estimator.infer import open_table
from posterity.results.group_file import GroupFile

NUM_GROUPS, NUM_ROWS = 7, 6
SETTINGS = {"num_draws": 40, "seed": 3, "refine_seconds": 0.0}


class StoppedError(Exception):
    """As if the process had been killed."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(group_answers, "PART", 2)


def question(shift=0.0):
    rng = np.random.default_rng(0)
    store = np.repeat([f"s{i}" for i in range(NUM_GROUPS)], NUM_ROWS)
    x = rng.normal(size=store.size)
    y = x + rng.normal(size=store.size)
    y[-1] += shift
    frame = pl.DataFrame({"store": store, "x": x, "y": y})
    return open_table("linear_regression", frame, target="y", group="store")


def stop_after(number):
    seen = []

    def on_answer(entry):
        seen.append(entry)
        if len(seen) == number:
            raise StoppedError

    return on_answer


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, suffix):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    verdicts = write_groups(question(), whole, SETTINGS)
    for number in (3, 3):
        with pytest.raises(StoppedError):
            write_groups(question(), path, SETTINGS, on_answer=stop_after(number))
        assert not path.exists()
    answered, progress = [], []
    found = write_groups(question(), path, SETTINGS, on_answer=answered.append, on_progress=progress.append)
    assert [entry["name"] for entry in answered] == ["s4", "s5", "s6"]
    assert progress[0] == 4 and progress[-1] == NUM_GROUPS
    assert path.read_bytes() == whole.read_bytes()
    assert found.equals(verdicts) and found["name"].to_list() == [f"s{i}" for i in range(NUM_GROUPS)]
    assert sorted(place.name for place in tmp_path.iterdir()) == sorted([whole.name, path.name])


def test_groups_are_answered_as_without_a_file(tmp_path):
    path = tmp_path / "out.parquet"
    write_groups(question(), path, SETTINGS)
    (alone,) = (p for p in question().posteriors(**SETTINGS) if p.name == "s5")
    written = pl.read_parquet(path).filter(pl.col("name") == "s5")
    summary = alone.summary()
    assert_allclose(written["mean"], summary["mean"], rtol=0, atol=0.01 * summary["sd"].min())  # by sums, and by rows


@pytest.mark.parametrize(
    ("shift", "settings", "what"),
    [
        (1.0, SETTINGS, "another table"),
        (0.0, {**SETTINGS, "seed": 4}, "another setting 'seed': 3 then, 4 now"),
        (0.0, {**SETTINGS, "num_draws": 41}, "another setting 'num_draws'"),
    ],
)
def test_another_question_is_refused_and_nothing_is_lost(tmp_path, shift, settings, what):
    path = tmp_path / "out.parquet"
    with pytest.raises(StoppedError):
        write_groups(question(), path, SETTINGS, on_answer=stop_after(5))
    before = {place.name: place.read_bytes() for place in (tmp_path / "out.parquet.unfinished").iterdir()}
    with pytest.raises(posterity.InputError, match=what):
        write_groups(question(shift), path, settings)
    assert before == {place.name: place.read_bytes() for place in (tmp_path / "out.parquet.unfinished").iterdir()}


def test_answers_that_come_out_differently_are_noticed(tmp_path):
    """As after an update of a library that changes the draws."""
    path = tmp_path / "out.parquet"
    with pytest.raises(StoppedError):
        write_groups(question(), path, SETTINGS, on_answer=stop_after(3))
    part = tmp_path / "out.parquet.unfinished" / "part-000000.parquet"
    pl.read_parquet(part).with_columns(pl.col("mean") + 1e-9).write_parquet(part)
    with pytest.raises(posterity.InputError, match="group 's0' is answered differently now"):
        write_groups(question(), path, SETTINGS)


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "out.csv"
    with GroupFile(path, {"model": "m"}), pytest.raises(posterity.InputError, match="in use"), GroupFile(path, {}):
        pass
    with GroupFile(path, {"model": "m"}) as file:
        assert file.parts == []


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "out.csv.unfinished").write_text("mine")
    with pytest.raises(posterity.InputError, match="cannot write"), GroupFile(tmp_path / "out.csv", {}):
        pass
    assert (tmp_path / "out.csv.unfinished").read_text() == "mine"
