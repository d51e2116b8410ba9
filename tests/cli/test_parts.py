"""Parts of the command that need no estimator: model files, progress."""

import logging
import time

import pytest

from posterity.cli.options import parse_plates, parse_range, parse_settings, without_folders
from posterity.cli.output import quietly
from posterity.cli.progress import ProgressBar, describe_progress
from posterity.cli.user_model import load_model
from posterity.runtime import status
from posterity.runtime.errors import InputError
from posterity.training import Progress
from posterity.training.validation import Validation


def test_a_model_file_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 7\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import VALUE\ndef model(x): return VALUE\n")
    assert load_model(f"{tmp_path / 'mine.py'}:model")(None) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def model(:\n", "line 1: SyntaxError"),
        ("import math\n\nmath.sqrt('x')\n", "line 3: TypeError"),
        ("model = 3\n", "has no function 'model'"),
        ("def modle(x): pass\n", "Did you mean 'modle'"),
    ],
)
def test_a_model_file_that_cannot_serve(tmp_path, content, message):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_model(f"{path}:model")


@pytest.mark.parametrize("place", ["mine.py", "mine.py:", "mine.txt:model", "mine.py:two words"])
def test_a_place_that_names_no_function(place):
    with pytest.raises(InputError, match=r"expected FILE\.py:FUNCTION"):
        load_model(place)


VALIDATION = Validation(None, None, -20.5, 0.42, 0.1, 0.5, 0.9, 64, 200)


def progress(share=0.25, **changes):
    fields = {"step": 500, "loss": 1.25, "datasets_per_second": 900.0, "seconds": 60.0, "validation": None}
    return Progress(share=share, **(fields | changes))


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (progress(), "step 500, loss 1.250 nats, 900 datasets/s, 3:00 min left"),
        (progress(seconds=3600.0), "step 500, loss 1.250 nats, 900 datasets/s, 3 h 00 min left"),
        (progress(seconds=9.0), "step 500, loss 1.250 nats, 900 datasets/s, 27 s left"),
        (progress(datasets_per_second=0.0, seconds=0.0), "step 500, loss 1.250 nats"),
        (
            progress(share=1.0, validation=VALIDATION),
            "step 500, loss 1.250 nats, 900 datasets/s, 0 s left, validation: ESS 42%, ELBO -20.50 nats",
        ),
    ],
)
def test_progress_in_words(now, line):
    assert describe_progress(now) == line


def test_without_a_terminal_progress_is_a_line_per_tenth(capsys):
    with ProgressBar(quiet=False) as show:
        for hundredth in range(1, 101):
            show(progress(share=hundredth / 100))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["1%", *(f"{tenth}0%" for tenth in range(1, 11))]
    with ProgressBar(quiet=True) as show:
        show(progress())
    assert capsys.readouterr().err == ""


def test_in_a_terminal_progress_is_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressBar(quiet=False) as show:
        show(progress(share=0.5))
    assert "50% step 500" in capsys.readouterr().err


def test_the_command_in_the_record_names_no_folders():
    words = ["train", "a/b/model.py:f", "-o", "/x/out.estimator", "--like=../t.csv", "--plate", "g=1:2", "x/"]
    expected = ["train", "model.py:f", "-o", "out.estimator", "--like=t.csv", "--plate", "g=1:2", "x/"]
    assert without_folders(words) == expected


def test_small_grammars():
    assert parse_range("--rows", "16:128") == (16, 128)
    assert parse_range("--rows", "64") == (64, 64)
    assert parse_plates("1:5", ["groups=2:9"]) == {"groups": (2, 9), "features": (1, 5)}
    assert parse_settings("--set", ["a=1", "b=0.5", "c=true", "d=tanh", "e=1e3"]) == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": "tanh",
        "e": 1000.0,
    }
    with pytest.raises(InputError, match="expected NAME=VALUE"):
        parse_settings("--set", ["a"])


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_silences_what_long_work_says(quiet, monkeypatch, caplog):
    monkeypatch.setattr(status, "PATIENCE", 0.05)
    caplog.set_level(logging.INFO, "posterity")
    with quietly(quiet), status.working("sampling"):
        give_up = time.monotonic() + (1.0 if quiet else 20.0)
        while not caplog.records and time.monotonic() < give_up:
            time.sleep(0.02)
    assert [record.getMessage() for record in caplog.records] == ([] if quiet else ["sampling ..."])
