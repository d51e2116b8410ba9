"""What holds for the package as a whole: light to import, nothing changed outside, clean files."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import posterity

ROOT = Path(__file__).parents[1]

# Slow to import: each is fetched where it is used, by those who use it.
HEAVY = [
    *(
        "arviz_base",
        "arviz_plots",
        "arviz_stats",
        "blackjax",
        "fastapi",
        "h5netcdf",
        "h5py",
        "matplotlib",
        "orbax",
        "pandas",
    ),
    *("pyarrow", "ray", "sklearn", "tensorstore", "torch", "uvicorn", "xarray"),
]
# The bare package does without these as well.
NEEDED_LATER = ["equinox", "flowjax", "jax", "numpyro", "polars", "rich", "typer"]

# Run in a new process: this one already has the import hook and pytest's warning filters.
BARE_IMPORT = """
import json, sys
import posterity
print(json.dumps(sorted(sys.modules)))
"""

ALL_PUBLIC_NAMES = """
import json, sys
import posterity
for name in posterity.__all__:
    getattr(posterity, name)
print(json.dumps(sorted(sys.modules)))
"""

STATE_AROUND_IMPORT = """
import json, logging, os, random, warnings
import equinox, flowjax, jax, jaxtyping, numpy, numpyro, optax, polars, rich.console, safetensors

def state():
    return {
        "jax": {name: str(value) for name, value in jax.config.values.items()},
        "warnings": [str(entry) for entry in warnings.filters],
        "logging": [str(handler) for handler in logging.getLogger().handlers] + [logging.getLogger().level],
        "environment": dict(os.environ),
        "errstate": numpy.geterr(),
        "random": str(random.getstate()),
    }

before = state()
import posterity
for name in posterity.__all__:
    getattr(posterity, name)
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


def in_a_new_process(code: str):
    """What `code` prints as JSON in a fresh interpreter, without the import hook of the tests."""
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_bare_import_is_light():
    modules = in_a_new_process(BARE_IMPORT)
    assert "posterity" in modules
    assert [name for name in HEAVY + NEEDED_LATER if name in modules] == []


def test_public_names_are_light():
    modules = in_a_new_process(ALL_PUBLIC_NAMES)
    assert "jax" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_import_changes_nothing_outside():
    assert in_a_new_process(STATE_AROUND_IMPORT) == []


def test_public_names_exist():
    assert len(set(posterity.__all__)) == len(posterity.__all__)
    missing = [name for name in posterity.__all__ if not hasattr(posterity, name)]
    assert missing == []


def test_base_install_has_no_heavy_relatives():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in project["dependencies"]}
    assert names.isdisjoint({"torch", "ray", "pyarrow", "matplotlib", "scikit-learn", "bayesflow", "sbi"})


def test_constraints_name_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin)] == []


def test_constraints_cover_base_and_dev():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    own = {"posterity"}  # whose extras build on each other
    assert [name for name in wanted if re.split(r"[\[<>=]", name)[0].lower() not in pinned | own] == []


def tracked_files() -> list[Path]:
    """Files of the repository, new ones included, ignored ones not."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if (path := ROOT / name).is_file()]


def test_no_file_names_a_place_on_one_machine():
    """Shipped weights and their JSON too: paths creep in through metadata and tracebacks."""
    folders = b"|".join([b"work", b"tmp", b"home", b"root", b"Users", b"opt"])
    place = re.compile(rb"(?<![\w.*)}-])/(?:" + folders + rb")/\w")
    assert [str(path) for path in tracked_files() if place.search(path.read_bytes())] == []
