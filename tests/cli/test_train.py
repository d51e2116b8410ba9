"""`posterity train`: estimators, and every way to end without one."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from cli.cases import TINY
from safetensors.numpy import load_file

from posterity.amortized.objectives import ReverseKL, SymmetricKL
from posterity.cli.app import main
from posterity.cli.progress import ProgressBar
from posterity.estimator.estimator import load

DIVERGED = {"training": {"stop_reason": "diverged", "step": 0}}


@pytest.fixture
def stop_after(monkeypatch):
    """Makes the process receive a signal once a number of steps is done, as when somebody presses Ctrl-C."""

    def arrange(step, number=signal.SIGINT):
        shown = ProgressBar.__call__

        def show_and_stop(self, now):
            shown(self, now)
            if now.step == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(ProgressBar, "__call__", show_and_stop)

    return arrange


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one training leaves behind."""
    path = tmp_path_factory.mktemp("trained") / "whole.estimator"
    assert main(["train", "linear_regression", "-o", str(path), *TINY, "--quiet"]) == 0
    return path


def test_what_training_leaves_behind(trained):
    assert sorted(file.name for file in trained.iterdir()) == [
        "estimator.json",
        "golden.safetensors",
        "weights.safetensors",
    ]
    assert not trained.with_name("whole.estimator.run").exists()
    artifact = json.loads((trained / "estimator.json").read_text())
    record = artifact["record"]
    assert (record["objective"]["type"], record["stream"]["type"]) == ("ReverseKL", "ZScoredTables")
    assert record["training"]["stop_reason"] == "steps" and record["training"]["step"] == 40
    assert record["data_envelope"]["x"]["mean"][0] < 0.0 < record["data_envelope"]["x"]["mean"][1]
    assert record["command"] == shlex.join(
        ["posterity", "train", "linear_regression", "-o", "whole.estimator", *TINY, "--quiet"]
    )


def test_interrupted_and_resumed_equals_never_stopped(posterity, trained, tmp_path, stop_after):
    """On the way, an older estimator of the same name stays until the new one is finished."""
    path, run = tmp_path / "again.estimator", tmp_path / "again.estimator.run"
    path.mkdir()
    (path / "estimator.json").write_text('{"format": "old"}')
    stop_after(20)
    stopped = posterity("train", "linear_regression", "-o", path, *TINY)
    assert stopped.code == 130 and stopped.out == ""
    assert "ReverseKL on ZScoredTables datasets (real tables are z-scored" in stopped.err
    assert "family (the default for 5 latents)" in stopped.err
    assert "interrupted after 20 steps; no estimator was written" in stopped.err
    assert run.is_dir() and "old" in (path / "estimator.json").read_text()
    command = shlex.split(stopped.err.splitlines()[-1])
    assert command[0] == "posterity" and command[-1] == "--resume"

    refused = posterity("train", "linear_regression", "-o", path, *TINY, "--quiet")
    assert refused.code == 2 and "add --resume to go on with it" in refused.err

    resumed = posterity(*command[1:], "--keep-run")
    assert resumed.code == 0
    assert resumed.out.startswith(f"wrote {path} (")
    assert "after 40 steps (step budget spent)" in resumed.out
    assert "100%  step 40, loss" in resumed.err
    whole, parts = (load_file(folder / "weights.safetensors") for folder in (trained, path))
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if "loss" in event] == [20, 40]

    (run / "run.json").write_text((run / "run.json").read_text()[:40])
    cut = posterity(*command[1:])
    assert (cut.code, cut.out) == (2, "") and cut.err.count("\n") == 1
    assert f"error: {run / 'run.json'} is damaged" in cut.err and "remove the folder" in cut.err


@pytest.fixture
def ends_with(monkeypatch):
    """Replaces training by a result that says why it stopped."""

    def arrange(stop_reason, step=0):
        training = {"stop_reason": stop_reason, "step": step}
        monkeypatch.setattr(
            "posterity.cli.training_run.train", lambda *_, **__: SimpleNamespace(record={"training": training})
        )

    return arrange


def test_a_diverged_training_ends_with_1_and_one_line(posterity, tmp_path, ends_with):
    ends_with("diverged", 60)
    outcome = posterity("train", "linear_regression", "-o", tmp_path / "x.estimator", *TINY, "-q", "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1 and outcome.err.startswith("error: training diverged after 60 steps")
    assert "--learning-rate" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_interrupted_before_the_first_checkpoint(posterity, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("posterity.cli.training_run.train", interrupt)
    outcome = posterity("train", "linear_regression", "-o", tmp_path / "x.estimator", *TINY, "-q")
    assert outcome == (130, "", "interrupted: nothing was written\n")


def test_json_at_the_end(posterity, regression, tmp_path, monkeypatch):
    """The numbers of the record, whatever they are: JSON has no NaN."""
    shipped = load(regression)
    record = json.loads(json.dumps(shipped.record))
    record["training"]["validation"]["elbo"] = float("-inf")
    estimator = dataclasses.replace(shipped, record=record)
    monkeypatch.setattr("posterity.cli.training_run.train", lambda *_, **__: estimator)
    path = tmp_path / "x.estimator"
    found = posterity("train", "linear_regression", "-o", path, *TINY, "-q", "--json").json
    assert found["estimator"] == str(path)
    assert found["bytes"] == sum(file.stat().st_size for file in path.iterdir())
    assert found["training"]["step"] == 40 and found["training"]["validation"]["elbo"] is None
    assert json.loads((path / "estimator.json").read_text())["record"]["command"] == found["command"]


def test_a_second_process_is_interrupted_without_a_traceback(tmp_path):
    """Ctrl-C while it imports, checks or compiles, wherever that hits; one line at most, and exit 130."""
    words = ["train", "linear_regression", "-o", str(tmp_path / "x.estimator"), *TINY, "--steps", "1000000"]
    # A run of the tests in the background ignores the signal, and so would its children.
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from posterity.cli.app import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the plan is told once all is checked
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err and "Exception ignored" not in err
    assert "interrupted" in err
    assert not (tmp_path / "x.estimator").exists()


REFUSALS = {
    "unknown model": (["lineer_regression"], "Did you mean 'linear_regression'"),
    "rows": (["linear_regression", "--rows", "few"], "--rows few: expected LOW:HIGH"),
    "reversed rows": (["linear_regression", "--rows", "9:2"], "rows 9:2 is not a range"),
    "other plate": (["gaussian_mean", "--features", "1:3"], "--plate dims=LOW:HIGH"),
    "plate twice": (["linear_regression", "--features", "2", "--plate", "features=3"], "given twice"),
    "plate without name": (["linear_regression", "--plate", "3"], "expected NAME=VALUE"),
    "unknown option": (["linear_regression", "--set", "prior_sds=2"], "Did you mean 'prior_sd'"),
    "wrong option": (["linear_regression", "--set", "prior_sd=wide"], "must be float"),
    "budget": (["linear_regression", "--steps", "0"], "steps must be positive"),
    "no table to read": (["linear_regression", "--target", "y"], "give --like data.csv"),
    "no table to resample": (["linear_regression", "--covariates", "resampled"], "give it with --like"),
    "own model, no table": (["MODEL:shop"], "give --like data.csv"),
    "own model, options": (["MODEL:shop", "--set", "a=1"], "options of built-in models"),
    "own model, no such file": (["nowhere.py:shop"], "no such file"),
    "own model, no name": (["MODEL"], "expected FILE.py:FUNCTION"),
    "no covariates": (["gaussian_mean", "--like", "TABLE", "--covariates", "resampled"], "has no covariates"),
    "wrong target": (["linear_regression", "--like", "TABLE", "--target", "hight"], "Did you mean 'height'"),
    "too many classes": (["categorical_regression", "--like", "TABLE", "--target", "age"], "class labels"),
}


@pytest.mark.parametrize(("words", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refused_before_anything_is_written(refused, tmp_path, own_model, table, words, message):
    places = {"MODEL": str(own_model), "TABLE": str(table)}
    words = [places.get(word, word.replace("MODEL", places["MODEL"])) for word in words]
    assert message in refused("train", *words, "-o", tmp_path / "out.estimator")


BAD_PARTS = {
    "encoder": (["--encoder", "transfomer"], "Did you mean 'transformer'"),
    "family": (["--family", "fulll"], "Did you mean 'full'"),
    "objective": (["--objective", "backward"], "unknown objective 'backward'"),
    "stream": (["--stream", "real"], "unknown stream 'real'"),
    "encoder option": (["--encoder-option", "widht=8"], "Did you mean 'width'"),
    "encoder value": (["--encoder-option", "width=wide"], "option 'width' must be int"),
    "encoder size": (["--encoder-option", "width=-8"], "`width` must be at least 1"),
    "family option": (["--family-option", "knots=8"], "need its name"),
    "reverse only": (
        ["--objective", "forward", "--num-samples", "8"],
        "--num-samples: options of the reverse KL",
    ),
    "impossible pair": (
        ["--objective", "forward", "--stream", "tables"],
        "forward KL learns from joint draws",
    ),
    "warm-up": (["--kl-warmup", "2"], "kl_warmup is a share"),
}


@pytest.mark.parametrize(("words", "message"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_are_refused_before_any_model_is_read(refused, tmp_path, monkeypatch, words, message):
    monkeypatch.setattr("posterity.estimator.train.training_simulator", _explode)
    assert message in refused("train", "linear_regression", "-o", tmp_path / "out.estimator", *words, "-q")


def test_outputs_are_checked_first(refused, table, tmp_path, monkeypatch):
    monkeypatch.setattr("posterity.cli.training_run.train", _explode)
    assert "does not exist" in refused("train", "linear_regression", "-o", tmp_path / "nowhere" / "x")
    assert "is no estimator" in refused("train", "linear_regression", "-o", table)
    assert "is no estimator" in refused("train", "linear_regression", "-o", tmp_path)


def _explode(*_, **__):
    raise AssertionError("work before checks")


def test_resuming_nothing_is_refused(refused, tmp_path):
    words = ["train", "linear_regression", "-o", tmp_path / "x.estimator", *TINY, "-q", "--resume"]
    assert "nothing to resume" in refused(*words)


def test_reverse_options_reach_both_objectives_that_have_them(posterity, tmp_path, monkeypatch):
    def objective(*words):
        asked = []
        monkeypatch.setattr(
            "posterity.cli.training_run.train",
            lambda *_, objective, **__: asked.append(objective) or SimpleNamespace(record=DIVERGED),
        )
        posterity("train", "linear_regression", "-o", tmp_path / "x", *words, "-q")
        return asked[0]

    words = ["--num-samples", "8", "--stick-the-landing", "--kl-warmup", "0.1"]
    reverse = ReverseKL(num_samples=8, stick_the_landing=True, kl_warmup=0.1)
    assert objective(*words) == objective(*words, "--objective", "reverse") == reverse
    assert objective(*words, "--objective", "symmetric") == SymmetricKL(reverse=reverse)
    assert (objective(), objective("--objective", "forward")) == (None, "forward")
