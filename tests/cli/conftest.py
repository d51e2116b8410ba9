"""A tiny estimator of each kind, made once, and a way to run the command inside the test's own process."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
from cli.cases import OWN_MODEL, TINY, regression_table, shop_table

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
def posterity(capsys) -> Callable[..., Outcome]:
    """Runs the command in this process; answers are not refined unless a test asks for it, since that compiles."""

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
def shared(tmp_path_factory) -> Path:
    """One directory for all test processes of this run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "cli"
    folder.mkdir(exist_ok=True)
    return folder


def once(path: Path, make: Callable[[], None]) -> Path:
    """Makes `path` in the first test process that asks; the others wait for it."""
    lock, done = (path.with_name(f"{path.name}.{state}") for state in ("lock", "done"))
    try:
        lock.mkdir()
    except FileExistsError:
        for _ in range(600):
            if done.exists():
                return path
            time.sleep(0.5)
        raise TimeoutError(f"another test process did not make {path}") from None
    make()
    done.touch()
    return path


def train(*words: object) -> None:
    assert main(["train", *map(str, words), "--quiet"]) == 0


@pytest.fixture(scope="session")
def regression(shared) -> Path:
    """A barely trained estimator of linear regression, as `posterity train` writes it."""
    path = shared / "regression.estimator"
    return once(path, lambda: train("linear_regression", "-o", path, *TINY))


@pytest.fixture(scope="session")
def gaussian(shared) -> Path:
    """An untrained estimator of a Gaussian mean: q is the prior, which a few rows allow to correct."""
    from posterity.amortized.architecture import Architecture
    from posterity.amortized.network import build_network
    from posterity.estimator.estimator import Estimator
    from posterity.model.builtin import MODELS

    path = shared / "gaussian.estimator"

    def make() -> None:
        problem = MODELS["gaussian_mean"].problem((2, 8), (1, 2))
        architecture = Architecture(trunk_options={"width": 16, "depth": 1})
        network = build_network(problem, architecture, rng_key=jax.random.key(0))
        Estimator(problem, network, architecture, {"stream": {"type": "Simulated"}}).save(path)

    return once(path, make)


@pytest.fixture
def own_model(tmp_path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(OWN_MODEL)
    return path


@pytest.fixture(scope="session")
def own(shared) -> Path:
    """An estimator of `OWN_MODEL`, trained for tables like `shop_table`."""
    path = shared / "own.estimator"

    def make() -> None:
        model, table = shared / "my_model.py", shared / "shop.csv"
        model.write_text(OWN_MODEL)
        shop_table().write_csv(table)
        small = ["--steps", 20, "--batch-size", 16, "--rows", "16:32", "--trunk-option", "width=16"]
        train(f"{model}:shop", "-o", path, "--like", table, "--target", "sales", *small)

    return once(path, make)


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "data.csv"
    regression_table().write_csv(path)
    return path
