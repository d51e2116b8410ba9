"""The study's lists of jobs, its runner and its command, and arithmetic that needs no compiler."""

import importlib.util
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from study_modules import study

from posterity.cli.app import main

jobs, runner, questions, presets = study("jobs"), study("runner"), study("questions"), study("presets")
cost, two_modes = study("questions.cost"), study("questions.two_modes")
SETTINGS = study("tasks").SETTINGS


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_jobs_have_names_of_their_own(preset):
    names = [job.name for job in jobs.jobs(preset)]
    assert len(set(names)) == len(names)
    assert all(job.setting in SETTINGS for job in jobs.jobs(preset) if job.part != "question")


def test_laptop_preset_has_what_it_promises():
    found = {job.name for job in jobs.jobs("laptop")}
    small = ("gm_2d", "gmm_2d_2cl", "lr_1d", "lr_2d", "nlr_1d", "lc_2d", "nlc_2d")
    for name in small:
        assert sum(job.startswith(f"networks/{name}/") and "/own/" in job for job in found) == 3 * 2 * 2 * 3
    for name in ("gm_100d", "lr_100d", "lc_100d"):
        assert sum(job.startswith(f"networks/{name}/") for job in found) == 2 * 2 * 3
        assert f"baselines/{name}/informed/own/0" in found


def test_runner_writes_rows_keeps_errors_and_goes_on(tmp_path, monkeypatch):
    """Without processes: `attempt` is called in turn, as Ray or a pool would call it elsewhere."""
    monkeypatch.setitem(runner.append.__globals__, "RESULTS", tmp_path)
    waiting = runner.to_do("smoke")[:3]
    broken = waiting[1].name

    def one_after_the_other(preset, waiting, workers, minutes):
        for job in waiting:
            if job.name == broken:
                yield job, [], 0.1, "Traceback\nValueError: no luck"
            else:
                yield job, [{"preset": preset, "job": job.name, "metrics": {}}], 0.1, None

    monkeypatch.setattr(runner, "_by_processes", one_after_the_other)
    seen = []
    assert runner.run("smoke", waiting, on_outcome=seen.append) == 1
    assert [outcome.left for outcome in seen] == [2, 1, 0]
    left = [job.name for job in runner.to_do("smoke")]
    assert broken in left and waiting[0].name not in left and waiting[2].name not in left
    assert "no luck" in (tmp_path / "study_errors.jsonl").read_text()


def test_attempt_turns_an_error_into_text():
    _, rows, _, error = runner.attempt("smoke", study("job").Job("baselines", "no such setting", "prior"))
    assert rows == [] and "KeyError" in error


def test_command_lists_jobs(capsys):
    assert main(["bench", "list", "--preset", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "networks/lr_1d/transformer/flow/forward/own/0" in printed and "smoke: " in printed


def test_command_chooses_by_name_and_seed(capsys):
    words = ["bench", "list", "--preset", "laptop", "--only", "networks/lr_2d/gru/*", "--seed", "2", "--json"]
    assert main(words) == 0
    found = [entry["job"] for entry in json.loads(capsys.readouterr().out)]
    assert len(found) == 4 and all(name.endswith("/own/2") for name in found)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["list", "--preset", "laptob"], "did you mean 'laptop'"),
        (["run", "--preset", "smoke", "--ray"], "posterity[ray]"),
    ],
)
def test_command_refuses(words, says, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    assert main(["bench", *words]) == 2
    assert says.lower() in capsys.readouterr().err.lower()


def test_command_outside_a_checkout(tmp_path, monkeypatch, capsys):
    from posterity.cli import bench

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "bench.py"))
    assert main(["bench", "list"]) == 2
    assert "no benchmarks/study here" in capsys.readouterr().err


@pytest.mark.parametrize(("components", "dims"), [(2, 3), (5, 2)])
def test_a_mixture_s_reference_has_every_labelling_as_often(components, dims):
    """Five components have 120 orders, far more than there are chains."""
    number = 240
    draws = np.arange(components, dtype=float)[:, None] + np.linspace(0.0, 0.5, dims)  # component k lies at k
    relabelled = study("metrics.reference").in_every_order(np.tile(draws.ravel(), (2, number, 1)), components, dims)
    means = relabelled.reshape(2, number, components, dims)
    np.testing.assert_allclose(np.sort(means, axis=2), np.broadcast_to(draws, means.shape))
    first = np.rint(means[0, :, 0, 0]).astype(int)
    np.testing.assert_array_equal(np.bincount(first), number // components)


def test_halves_of_a_reference_come_from_different_chains():
    order = study("metrics.reference").halves_of_chains(20)
    assert sorted(order) == list(range(20))
    first, second = set(order[:10] % 4), set(order[10:] % 4)
    assert first == {0, 1} and second == {2, 3}


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_every_question_is_asked_with_every_seed_and_no_job_twice(preset):
    jobs = list(questions.jobs(preset))
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.part for job in jobs} == {"question"}
    for seed in presets.PRESETS[preset].seeds:
        asked = {job.method.split("/")[0] for job in jobs if job.seed == seed}
        assert asked == set(questions.QUESTIONS) - ({"cost"} if seed else set())


def test_smoke_asks_one_small_question():
    (job,) = questions.jobs("smoke")
    assert job.method.split("/")[0] in questions.QUESTIONS


def test_the_page_knows_every_question():
    assert set(study("page.questions").QUESTIONS) == set(questions.QUESTIONS)


def test_shares_of_modes_by_hand():
    truth = np.array([[0.0, 0.0, 4.0, 0.0]])
    there, swapped, between = truth[0], truth[0][[2, 3, 0, 1]], np.array([2.0, 0.1, 2.0, -0.1])
    both_on_one = np.array([0.1, 0.0, 0.1, 0.0])
    z = np.stack([there, there + 0.5, there - 0.5, swapped, between, both_on_one])[None]
    assert_allclose(two_modes.mode_shares(z, truth), [[3 / 6, 1 / 6]])


@pytest.mark.parametrize(
    ("usable", "network", "datasets"), [(1.0, 0.5, 200.0), (0.75, 0.5, 400.0), (0.25, 0.5, np.inf), (0.0, 0.0, np.inf)]
)
def test_training_pays_off_where_usable_answers_save_more_than_they_cost(usable, network, datasets):
    assert cost.pays_off_after(train=100.0, network=network, usable=usable, nuts=1.0) == datasets
