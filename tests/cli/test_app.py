"""The command as a whole: help, version, light start."""

import inspect
import json
import signal
import subprocess
import sys
import time

import pytest
import typer

from posterity.amortized.encoders import ENCODERS
from posterity.amortized.families import FAMILIES
from posterity.amortized.objectives import OBJECTIVES
from posterity.cli import train
from posterity.cli.app import app
from posterity.simulation.covariates import COVARIATE_LAWS
from posterity.training import STREAMS

ALL = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
COMMANDS = {name: command for name, command in ALL.items() if not hasattr(command, "commands")}
BENCH = ALL["bench"].commands

HELP_IMPORTS = """
import contextlib, io, json, sys
from posterity.cli.app import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    codes = [main(words) for words in (["--help"], ["train", "--help"], ["--version"])]
print(json.dumps([codes, "linear_regression" in out.getvalue(), sorted(sys.modules)]))
"""


def test_help_waits_for_no_heavy_import():
    done = subprocess.run([sys.executable, "-c", HELP_IMPORTS], capture_output=True, text=True, check=True)
    codes, told, modules = json.loads(done.stdout)
    assert codes == [0, 0, 0] and told
    assert {"jax", "numpy", "numpyro", "polars", "equinox", "xarray"}.isdisjoint(modules)


def test_version(posterity):
    outcome = posterity("--version")
    assert outcome.code == 0
    assert outcome.out.split() == [
        "posterity",
        __import__("importlib.metadata").metadata.version("posterity"),
    ]


def test_no_command_shows_the_help(posterity):
    outcome = posterity()
    assert outcome.code == 0 and "infer" in outcome.out and outcome.err == ""


def test_unknown_commands_are_one_line(refused):
    assert "No such command 'guess'" in refused("guess")


@pytest.mark.parametrize("name", BENCH)
def test_the_study_takes_json_and_shows_examples(name, posterity):
    assert "--json" in {option for parameter in BENCH[name].params for option in parameter.opts}
    outcome = posterity("bench", name, "--help")
    assert outcome.code == 0 and f"posterity bench {name}" in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_seed_and_json_and_shows_examples(name, posterity):
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--seed", "--json"} <= options
    outcome = posterity(name, "--help")
    assert outcome.code == 0 and f"posterity {name}" in outcome.out


@pytest.mark.parametrize(
    ("option", "names"),
    [
        (train.Encoder, ENCODERS),
        (train.Family, FAMILIES),
        (train.Objective, OBJECTIVES),
        (train.Stream, STREAMS),
        (train.Covariates, COVARIATE_LAWS),
    ],
)
def test_help_names_what_there_is(option, names):
    """Help must not import the tables that it lists, so the lists are written twice and compared here."""
    told = option.__metadata__[0].help
    assert [name for name in names if name not in told] == []


def test_unexpected_errors_keep_their_traceback(posterity, monkeypatch):
    def explode():
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("posterity.cli.models._builtin_models", explode)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        posterity("models")


def test_ctrl_c_is_130(posterity, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("posterity.cli.models._builtin_models", interrupt)
    assert posterity("models") == (130, "", "")


def test_a_ctrl_c_that_is_swallowed_comes_again(posterity, monkeypatch):
    """Exceptions of finalizers are dropped: the command would go on as if nothing had been pressed."""

    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def wait():
        Finalized()
        time.sleep(30.0)
        raise AssertionError("the interrupt was lost")

    monkeypatch.setattr("posterity.cli.models._builtin_models", wait)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it
    try:
        assert posterity("models") == (130, "", "")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_request_fields_are_the_options():
    names = {parameter.name for parameter in COMMANDS["train"].params} - {"help"}
    assert names == set(inspect.signature(train.TrainRequest).parameters)
