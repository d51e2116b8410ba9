"""A tiny estimator of each kind, and a way to run the command inside the test's own process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cli.cases import FIXTURES, OWN_MODEL, regression_table

from posterity.cli.app import main


class Outcome(NamedTuple):
    """What one run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def posterity(capsys, monkeypatch) -> Callable[..., Outcome]:
    """Runs the command in this process; answers are not refined unless a test asks for it, since that compiles."""
    monkeypatch.setenv("COLUMNS", "80")  # lines break at the same places in every terminal

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        as_it_is = words[:1] in (("infer",), ("predict",)) and not {"--refine", "--help"} & set(words)
        code = main([*map(str, words), *(("--refine", "0") if as_it_is else ())])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(posterity, tmp_path) -> Callable[..., str]:
    """Runs the command, which has to refuse: exit 2, one line on standard error, nothing written."""

    def run(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        outcome = posterity(*words)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1 and outcome.err.endswith("\n"), outcome.err
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.err

    return run


@pytest.fixture(scope="session")
def regression() -> Path:
    """A barely trained estimator of linear regression."""
    return FIXTURES / "regression.estimator"


@pytest.fixture(scope="session")
def gaussian() -> Path:
    """An estimator of a Gaussian mean whose q is the prior, which a few rows allow to correct."""
    return FIXTURES / "gaussian.estimator"


@pytest.fixture(scope="session")
def own() -> Path:
    """An estimator of `OWN_MODEL`, trained for tables like `shop_table`."""
    return FIXTURES / "shop.estimator"


@pytest.fixture
def own_model(tmp_path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(OWN_MODEL)
    return path


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "data.csv"
    regression_table().write_csv(path)
    return path
