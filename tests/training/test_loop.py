"""The loop: budgets, endings, resuming to the bit, metrics; on a network that trains in a second."""

import dataclasses
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_array_equal

from posterity import (
    MODELS,
    Architecture,
    ForwardKL,
    InputError,
    Simulated,
    TrainingConfig,
    builtin_simulator,
)
from posterity.amortized.network import build_network
from posterity.training import run_training
from posterity.training.loop import row_ranges
from posterity.training.step import initial_state, make_chunk

TINY = Architecture(
    "deep_sets", "diagonal", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1}
)


@pytest.fixture(scope="module")
def simulator():
    return builtin_simulator(MODELS["gaussian_mean"], (4, 8), (2, 2), check=False)


@pytest.fixture(scope="module")
def network(simulator):
    return build_network(simulator, TINY, rng_key=random.key(0))


def config(**changes):
    usual = {"steps": 40, "batch_size": 8, "chunk_steps": 10, "warmup_steps": 5, "validate": False}
    return TrainingConfig(**{**usual, **changes})


def run(simulator, network, settings, **options):
    return run_training(simulator, network, ForwardKL(), Simulated(), settings, **options)


def weights(network):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))]


def assert_same_weights(first, second):
    for a, b in zip(weights(first), weights(second), strict=True):
        assert_array_equal(a, b)


@pytest.fixture(scope="module")
def never_stopped(simulator, network):
    return run(simulator, network, config(validate=True))


def test_step_budget(never_stopped, network):
    assert (never_stopped.stop_reason, never_stopped.step) == ("steps", 40)
    assert never_stopped.validation is not None
    assert never_stopped.validation.num_datasets == 256
    assert 0 < never_stopped.validation.ess_fraction <= 1
    moved = [np.abs(a - b).max() for a, b in zip(weights(never_stopped.network), weights(network), strict=True)]
    assert max(moved) > 1e-3


def test_exactly_the_steps_asked_for(simulator, network, tmp_path):
    result = run(simulator, network, config(steps=13), folder=tmp_path / "run")
    assert (result.stop_reason, result.step) == ("steps", 13)
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in logged] == [10, 13]


def test_same_seed_same_weights_other_seed_others_and_validation_changes_none(simulator, network, never_stopped):
    again = run(simulator, network, config())
    assert again.validation is None and again.to_json()["validation"] is None
    assert_same_weights(again.network, never_stopped.network)
    other = run(simulator, network, config(seed=1)).network
    assert any(np.any(a != b) for a, b in zip(weights(other), weights(never_stopped.network), strict=True))


def test_a_time_budget_ends_when_it_is_spent_and_compiling_is_free(simulator, network, monkeypatch):
    """By a clock that goes on by a tenth of a second whenever it is read: a chunk takes 0.1 s."""
    ticks = itertools.count()
    monkeypatch.setattr("posterity.training.loop.time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))
    result = run(simulator, network, config(steps=None, minutes=1 / 60))
    assert result.stop_reason == "minutes"
    assert result.seconds == pytest.approx(1.0, abs=0.11)
    num_ranges = len(row_ranges(4, 8))  # the first chunk of each compiles
    assert result.step == 10 * (round(result.seconds / 0.1) + num_ranges)


def test_divergence_keeps_the_last_finite_weights(simulator, network, tmp_path):
    result = run(simulator, network, config(learning_rate=1e30, warmup_steps=1, steps=200), folder=tmp_path / "run")
    assert result.stop_reason == "diverged"
    assert result.step < 200
    assert all(np.isfinite(leaf).all() for leaf in weights(result.network))
    events = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any(event.get("diverged") for event in events)


def interrupt_after(chunks):
    """A progress callback that presses Ctrl-C in the given chunk."""
    seen = []

    def press(progress):
        seen.append(progress)
        if len(seen) == chunks:
            os.kill(os.getpid(), signal.SIGINT)

    return press


def test_interrupted_and_resumed_equals_never_stopped(simulator, network, never_stopped, tmp_path):
    folder = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    first = run(simulator, network, config(), folder=folder, on_progress=interrupt_after(2))
    assert (first.stop_reason, first.step, first.validation) == ("interrupted", 20, None)
    assert signal.getsignal(signal.SIGINT) is handler
    second = run(simulator, network, config(), folder=folder, resume=True)
    assert (second.stop_reason, second.step) == ("steps", 40)
    assert_same_weights(second.network, never_stopped.network)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert {10, 20, 30, 40} <= set(steps)


def test_metrics_after_the_checkpoint_are_dropped_on_resume(simulator, network, tmp_path):
    folder = tmp_path / "run"
    run(simulator, network, config(), folder=folder, on_progress=interrupt_after(2))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "loss": 1.0, "stale": true}\n{"step": 40, "lo')  # a kill cut this short
    run(simulator, network, config(), folder=folder, resume=True)
    text = (folder / "metrics.jsonl").read_text()
    assert "stale" not in text
    assert all(json.loads(line) for line in text.splitlines())


def test_folders_that_cannot_be_gone_on_with_are_refused_and_left_alone(simulator, network, tmp_path):
    folder = tmp_path / "run"
    run(simulator, network, config(steps=10), folder=folder)
    before = sorted(path.name for path in folder.rglob("*"))
    assert not [name for name in before if name.endswith(".unfinished")]
    with pytest.raises(InputError, match="holds a run already; add --resume"):
        run(simulator, network, config(steps=10), folder=folder)
    with pytest.raises(InputError, match="was started with training = "):
        run(simulator, network, config(steps=10, learning_rate=0.5), folder=folder, resume=True)
    for damaged in ('{"training": {"min', "[]", ""):
        (folder / "run.json").write_text(damaged)
        with pytest.raises(InputError, match=r"run\.json is damaged.*: remove the folder"):
            run(simulator, network, config(steps=10), folder=folder, resume=True)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_nothing_to_resume(simulator, network, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        run(simulator, network, config(), folder=tmp_path / "run", resume=True)


def test_one_compilation_per_padded_size(simulator, network):
    chunk = make_chunk(simulator, network, ForwardKL(), Simulated(), config())
    state = initial_state(network, config())
    counted, listen = [], lambda event, duration, **more: counted.append(event)
    jax.monitoring.register_event_duration_secs_listener(listen)
    compiled = []
    for rows in ((4, 4), (5, 8), (4, 4), (5, 8)):
        counted.clear()
        state, _ = chunk(state, random.key(0), np.zeros((), np.float32), rows, 10)
        compiled.append(counted.count("/jax/core/compile/backend_compile_duration") > 0)
    jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == [True, True, False, False]


def test_runs_that_differ_in_their_seed_share_a_compiled_program(simulator):
    """Of a flow, whose layers are random, too."""
    programs = set()
    for seed in (0, 1):
        network = build_network(simulator, dataclasses.replace(TINY, family="flow"), rng_key=random.key(seed))
        chunk = make_chunk(simulator, network, ForwardKL(), Simulated(), config(seed=seed))
        state = initial_state(network, config())
        programs.add(chunk.lower(state, random.key(seed), np.zeros((), np.float32), (5, 8), 10).as_text())
    assert len(programs) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "needs a budget"),
        ({"steps": 0}, "steps must be positive; got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown training setting 'learning_rat'. Did you mean 'learning_rate'"):
        TrainingConfig.from_json({"steps": 1, "learning_rat": 1})


SCRIPT = textwrap.dedent(
    """
    import sys
    import numpy as np
    from pathlib import Path
    from jax import random
    from posterity import *
    from posterity.amortized.network import build_network
    from posterity.training import run_training

    simulator = builtin_simulator(MODELS["gaussian_mean"], (4, 8), (2, 2), check=False)
    options = {"width": 8, "depth": 1, "embedding_size": 8}
    network = build_network(simulator, Architecture("deep_sets", "diagonal", options, {}, {"width": 16, "depth": 1}),
                            rng_key=random.key(0))
    config = TrainingConfig(steps=100_000, batch_size=8, chunk_steps=10, warmup_steps=5, checkpoint_minutes=0.001,
                            validate=False)
    run_training(simulator, network, ForwardKL(), Simulated(), config, folder=Path(sys.argv[1]))
    """
)


@pytest.mark.slow
def test_killed_and_resumed_equals_never_stopped(simulator, network, tmp_path):
    """SIGKILL in the middle of training, wherever it hits, then resume: the same weights to the bit."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
    deadline = time.monotonic() + 120
    while len(list(folder.glob("checkpoints/[0-9]*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.wait()
    reached = max(int(path.name) for path in folder.glob("checkpoints/[0-9]*") if path.name.isdigit())
    assert reached > 0
    settings = config(steps=100_000, checkpoint_minutes=0.001)
    presses = interrupt_after(5)
    resumed = run(simulator, network, settings, folder=folder, resume=True, on_progress=presses)
    assert resumed.step == reached + 50
    chunks = resumed.step // 10
    straight = run(simulator, network, settings, on_progress=interrupt_after(chunks))
    assert straight.step == resumed.step
    assert math.isfinite(straight.loss)
    assert_same_weights(resumed.network, straight.network)
