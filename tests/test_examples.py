"""The tables of `examples/` are what their scripts make."""

import runpy
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("script", "tables"),
    [("make_tutorials.py", ("cars", "pupils", "anglers")), ("make_stores.py", ("stores", "next_week"))],
)
def test_a_script_makes_its_tables_again(script, tables, tmp_path, monkeypatch):
    shutil.copy(EXAMPLES / script, tmp_path)
    monkeypatch.setattr("sys.argv", [script])
    runpy.run_path(str(tmp_path / script), run_name="__main__")
    for table in tables:
        assert (tmp_path / f"{table}.csv").read_bytes() == (EXAMPLES / f"{table}.csv").read_bytes()
