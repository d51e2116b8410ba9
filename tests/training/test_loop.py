"""The loop: budgets, endings, resuming to the bit, metrics; on a network that trains in a second."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import equinox as eqx
import jax
import numpy as np
import pytest
from jax import random
from numpy.testing import assert_array_equal

from posterity import (
    MODELS,
    Architecture,
    Envelope,
    ForwardKL,
    InputError,
    Simulated,
    TrainingConfig,
    build_problem,
)
from posterity.amortized.network import build_network
from posterity.training import train
from posterity.training.step import initial_state, make_chunk

TINY = Architecture(
    "deep_sets", "diagonal", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1}
)


@pytest.fixture(scope="module")
def problem():
    return build_problem(MODELS["gaussian_mean"].model, {"x": np.zeros((4, 2))}, Envelope((4, 8)), covariates="normal")


@pytest.fixture(scope="module")
def network(problem):
    return build_network(problem, TINY, rng_key=random.key(0))


def config(**changes):
    return TrainingConfig(**{"steps": 40, "batch_size": 8, "chunk_steps": 10, "warmup_steps": 5, **changes})


def run(problem, network, settings, **options):
    return train(problem, network, ForwardKL(), Simulated(), settings, **options)


def weights(network):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))]


def assert_same_weights(first, second):
    for a, b in zip(weights(first), weights(second), strict=True):
        assert_array_equal(a, b)


@pytest.fixture(scope="module")
def never_stopped(problem, network):
    return run(problem, network, config())


def test_step_budget(never_stopped, network):
    assert (never_stopped.stop_reason, never_stopped.step) == ("steps", 40)
    assert never_stopped.validation is not None
    assert never_stopped.validation.num_datasets == 256
    assert 0 < never_stopped.validation.ess_fraction <= 1
    moved = [np.abs(a - b).max() for a, b in zip(weights(never_stopped.network), weights(network), strict=True)]
    assert max(moved) > 1e-3


@pytest.mark.parametrize("steps", [5, 13])
def test_exactly_the_steps_asked_for(problem, network, steps, tmp_path):
    result = run(problem, network, config(steps=steps, validate=False), folder=tmp_path / "run")
    assert (result.stop_reason, result.step) == ("steps", steps)
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in logged] == [5] if steps == 5 else [10, 13]


def test_same_seed_same_weights_other_seed_others(problem, network, never_stopped):
    assert_same_weights(run(problem, network, config()).network, never_stopped.network)
    other = run(problem, network, config(seed=1)).network
    assert any(np.any(a != b) for a, b in zip(weights(other), weights(never_stopped.network), strict=True))


def test_without_validation_the_weights_are_the_same(problem, network, never_stopped):
    result = run(problem, network, config(validate=False))
    assert result.validation is None and result.to_json()["validation"] is None
    assert_same_weights(result.network, never_stopped.network)


def test_time_budget_ends_in_time(problem, network):
    result = run(problem, network, config(steps=None, minutes=1 / 60))
    assert result.stop_reason == "minutes"
    assert 1.0 <= result.seconds < 2.0
    assert result.step > 40


def test_divergence_keeps_the_last_finite_weights(problem, network, tmp_path):
    result = run(problem, network, config(learning_rate=1e30, warmup_steps=1, steps=200), folder=tmp_path / "run")
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


def test_interrupted_and_resumed_equals_never_stopped(problem, network, never_stopped, tmp_path):
    folder = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    first = run(problem, network, config(), folder=folder, on_progress=interrupt_after(2))
    assert (first.stop_reason, first.step, first.validation) == ("interrupted", 20, None)
    assert signal.getsignal(signal.SIGINT) is handler
    second = run(problem, network, config(), folder=folder, resume=True)
    assert (second.stop_reason, second.step) == ("steps", 40)
    assert_same_weights(second.network, never_stopped.network)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert {10, 20, 30, 40} <= set(steps)


def test_metrics_after_the_checkpoint_are_dropped_on_resume(problem, network, tmp_path):
    folder = tmp_path / "run"
    run(problem, network, config(), folder=folder, on_progress=interrupt_after(2))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "loss": 1.0, "stale": true}\n{"step": 40, "lo')  # a kill cut this short
    run(problem, network, config(), folder=folder, resume=True)
    text = (folder / "metrics.jsonl").read_text()
    assert "stale" not in text
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("resume", "changes", "message"),
    [
        (False, {}, "holds a run already; add --resume"),
        (True, {"learning_rate": 0.5}, "was started with training = "),
    ],
)
def test_folders_of_other_runs_are_refused(problem, network, tmp_path, resume, changes, message):
    folder = tmp_path / "run"
    run(problem, network, config(steps=10), folder=folder)
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError, match=message):
        run(problem, network, config(steps=10, **changes), folder=folder, resume=resume)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_nothing_to_resume(problem, network, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        run(problem, network, config(), folder=tmp_path / "run", resume=True)


def test_one_compilation_per_padded_size(problem, network):
    chunk = make_chunk(problem, network, ForwardKL(), Simulated(), config())
    state = initial_state(network, config())
    for rows in ((4, 4), (5, 8), (4, 4), (5, 8)):
        state, _ = chunk(state, random.key(0), np.zeros((), np.float32), rows, 10)
    assert chunk._cache_size() == 2


@pytest.mark.parametrize("family", ["diagonal", "flow"])
def test_runs_that_differ_in_their_seed_share_a_compiled_program(problem, family):
    programs = set()
    for seed in (0, 1):
        network = build_network(problem, dataclasses.replace(TINY, family=family), rng_key=random.key(seed))
        chunk = make_chunk(problem, network, ForwardKL(), Simulated(), config(seed=seed))
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
    from posterity.training import train

    model, example = MODELS["gaussian_mean"].model, {"x": np.zeros((4, 2))}
    problem = build_problem(model, example, Envelope((4, 8)), covariates="normal")
    options = {"width": 8, "depth": 1, "embedding_size": 8}
    network = build_network(problem, Architecture("deep_sets", "diagonal", options, {}, {"width": 16, "depth": 1}),
                            rng_key=random.key(0))
    config = TrainingConfig(steps=100_000, batch_size=8, chunk_steps=10, warmup_steps=5, checkpoint_minutes=0.001)
    train(problem, network, ForwardKL(), Simulated(), config, folder=Path(sys.argv[1]))
    """
)


@pytest.mark.slow
def test_killed_and_resumed_equals_never_stopped(problem, network, tmp_path):
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
    resumed = run(problem, network, settings, folder=folder, resume=True, on_progress=presses)
    assert resumed.step == reached + 50 or resumed.step > reached
    chunks = resumed.step // 10
    straight = run(problem, network, settings, on_progress=interrupt_after(chunks))
    assert straight.step == resumed.step
    assert math.isfinite(straight.loss)
    assert_same_weights(resumed.network, straight.network)
