"""Every way that input can be bad: one line on standard error, exit 2, no file written."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest
from cli.cases import FIXTURES, regression_table

from posterity.estimator.artifact import with_hashes

ROWS = regression_table()

TABLES = {
    "empty": (b"", "is empty"),
    "header_only": (b"a,y\n", "no rows"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not CSV"),
    "semicolons": (b"a;y\n1;2\n2;2\n3;2\n", "'y' is constant"),
    "one_row": (b"a,y\n1,2\n", "1 row"),
    "non_numeric": (
        b"a,place,y\n1,north,2\n2,south,3\n3,north,5\n",
        "'place' is not numeric.*--categorical place",
    ),
    "missing": (b"a,b,y\n1,,2\n2,3,\n3,4,5\n4,NA,1\n", r"'b' \(2\), 'y' \(1\).*--drop-missing"),
    "constant": (b"a,b,y\n1,7,2\n2,7,3\n3,7,5\n", "constant column 'b'"),
    "constant_target": (b"a,y\n1,2\n2,2\n3,2\n", "'y' is constant"),
    "duplicate_headers": (b"a,a,y\n1,2,3\n4,5,6\n", "duplicate column names 'a'"),
    "infinite": (b"a,y\n1,2\ninf,3\n3,5\n", "'a' holds 1 value infinite"),
    "class_labels": (b"a,y\n1,yes\n2,no\n3,yes\n", "class labels"),
    "too_many_features": (b"a,b,c,d,y\n1,2,3,5,1\n2,1,5,3,2\n3,3,2,1,4\n", "4 features, more than the 3"),
    "target_alone": (b"y\n1\n2\n4\n", "no covariate columns"),
}


@pytest.mark.parametrize(("content", "message"), TABLES.values(), ids=TABLES)
def test_a_table_that_cannot_serve(refused, regression, tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    error = refused("infer", regression, path, "--target", "y", "-o", tmp_path / "out.nc")
    assert pl.Series([error]).str.contains(message).all(), error
    assert "bad.csv" in error or "dataset for" in error


def test_a_table_that_is_no_table(refused, regression, tmp_path):
    assert "no such file" in refused("infer", regression, tmp_path / "nowhere.csv", "--target", "y")
    assert "is a directory" in refused("infer", regression, tmp_path, "--target", "y")
    (tmp_path / "data.xlsx").write_bytes(b"PK")
    assert "unknown kind of file" in refused("infer", regression, tmp_path / "data.xlsx", "--target", "y")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,y\n1,2\n" * 999)[:-9])
    assert "cannot be read" in refused("infer", regression, tmp_path / "cut.csv.gz", "--target", "y")


def test_a_target_that_is_not_there(refused, regression, table):
    assert "Did you mean 'height'" in refused("infer", regression, table, "--target", "hight")
    renamed = table.with_name("renamed.csv")
    regression_table().rename({"y": "sales"}).write_csv(renamed)
    assert "--target" in refused("infer", regression, renamed)


def test_an_estimator_that_is_not_there(refused, table, tmp_path):
    def infer(name):
        return refused("infer", name, table, "--target", "y")

    assert "Did you mean 'poisson_regression'" in infer("poison_regression")
    assert "posterity train gaussian_mixture -o gaussian_mixture.estimator" in infer("gaussian_mixture")
    assert "neither such a directory nor a model" in infer(tmp_path / "nowhere.estimator")
    assert "it has no readable estimator.json" in infer(tmp_path)
    assert "no such directory" in infer(table)


def _cut_weights(folder):
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _flip_weights(folder):
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4000:] = bytes(byte ^ 0x80 for byte in content[-4000:])
    weights.write_bytes(content)


def _rehash(folder, record):
    """As somebody would who means harm."""
    record.pop("sha256", None)
    (folder / "estimator.json").write_text(json.dumps(with_hashes(record, folder)))


def _change_record(folder, **changes):
    _rehash(folder, json.loads((folder / "estimator.json").read_text()) | changes)


def _swap_weights(folder):
    shutil.copy(FIXTURES / "shop.estimator" / "weights.safetensors", folder)


def _flip_weights_and_rehash(folder):
    _flip_weights(folder)
    _change_record(folder)


def _pipe(folder):
    (folder / "weights.safetensors").unlink()
    os.mkfifo(folder / "weights.safetensors")


DAMAGES = {
    "weights_cut": (_cut_weights, "its hash is not the one in estimator.json"),
    "weights_flipped": (_flip_weights, "its hash is not the one in estimator.json"),
    "weights_changed": (_flip_weights_and_rehash, "does not reproduce its own golden"),
    "weights_swapped": (_swap_weights, "its hash is not the one in estimator.json"),
    "pipe": (_pipe, "it is no plain file"),
    "golden_gone": (lambda folder: (folder / "golden.safetensors").unlink(), "missing or damaged"),
    "no_json": (lambda folder: (folder / "estimator.json").write_text("{"), "is damaged"),
    "foreign": (lambda folder: (folder / "estimator.json").write_text("{}"), "not written by posterity"),
    "newer": (lambda folder: _change_record(folder, format_version=99), "format version 99"),
    "other_network": (lambda folder: _change_record(folder, architecture={"encoder": "gru"}), "damaged"),
    "half_a_record": (lambda folder: _change_record(folder, envelope={}), "'envelope' does not hold what it should"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_an_estimator_that_is_damaged(refused, regression, table, tmp_path, damage, message):
    copy = tmp_path / "copy.estimator"
    shutil.copytree(regression, copy)
    damage(copy)
    assert message in refused("infer", copy, table, "--target", "y", "-o", tmp_path / "out.nc")


def test_an_output_that_cannot_be_written(refused, regression, table, tmp_path):
    def infer(output):
        return refused("infer", regression, table, "--target", "y", "-o", output)

    (tmp_path / "folder.nc").mkdir()
    assert "no directory" in infer(tmp_path / "nowhere" / "out.nc")
    assert "is a directory" in infer(tmp_path / "folder.nc")
    assert "ends in .nc" in infer(table)  # the data, too, would be overwritten
    assert "no directory" in infer(table / "out.nc")
    assert "no directory" in refused("check", regression, "-o", tmp_path / "nowhere" / "report.json")


def test_options_that_make_no_sense(refused, regression, table):
    def infer(*words):
        return refused("infer", regression, table, "--target", "y", *words)

    assert "--draws" in infer("--draws", 0)
    assert "--draws" in infer("--draws", "many")
    assert "--draws" in infer("--draws", 10**8)
    assert "--seed" in infer("--seed", 2**63)
    assert "--seed" in infer("--seed", -1)
    assert "No such option" in infer("--no-such-option")
    assert "no such column" in infer("--categorical", "colour")
    assert "is the target" in infer("--categorical", "y")
    assert "expected FILE.py:FUNCTION" in infer("--model", "my_model.py")
    assert "Missing argument" in refused("infer", regression)
    assert "too few to judge" in refused("check", regression, "--datasets", 1)


def test_a_real_process_says_one_line_and_nothing_else(regression, tmp_path):
    (tmp_path / "bad.csv").write_bytes(TABLES["too_many_features"][0])
    code = "import sys; from posterity.cli.app import main; sys.exit(main())"
    words = [
        "infer",
        str(regression),
        str(tmp_path / "bad.csv"),
        "--target",
        "y",
        "-o",
        str(tmp_path / "out.nc"),
    ]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith("error: dataset for 'linear_regression' has 4 features")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_a_disk_that_is_full_is_one_line(table, tmp_path):
    """Standard output may be a file on it."""
    code = "import sys; from posterity.cli.app import main; sys.exit(main())"
    words = ["infer", "linear_regression", str(table), "--target", "y", "--refine", "0", "--quiet"]
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device: the results could not be written\n"


def test_a_reader_that_has_gone_is_no_error(table):
    code = "import sys; from posterity.cli.app import main; sys.exit(main())"
    words = ["infer", "linear_regression", str(table), "--target", "y", "--refine", "0", "--json", "--quiet"]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1  # as Typer has it
