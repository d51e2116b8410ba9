"""Saving and loading: the same answers to the bit, and a message for everything that could make them differ."""

import errno
import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

import posterity
from posterity import Architecture, InputError, TrainingConfig
from posterity.estimator.artifact import with_hashes
from posterity.model.identity import describe_model

SMALL = Architecture("deep_sets", "full", {"width": 8, "depth": 1, "embedding_size": 8}, {}, {"width": 16, "depth": 1})


def slope(x, y=None):
    """A model of the user's own, with a positive latent and a covariate vector."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(a * x, s), obs=y)


EXAMPLE = {"x": np.linspace(-1.0, 1.0, 12), "y": np.linspace(-2.0, 2.0, 12)}


@pytest.fixture(scope="module")
def estimator():
    return posterity.train(
        slope,
        like=EXAMPLE,
        rows=(8, 16),
        architecture=SMALL,
        config=TrainingConfig(steps=10, batch_size=8, chunk_steps=10),
    )


@pytest.fixture(scope="module")
def saved(estimator, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "slope.estimator"
    estimator.save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy.estimator")


def edit_record(path, change):
    file = path / "estimator.json"
    record = json.loads(file.read_text())
    hashes = record.pop("sha256")
    change(record)
    rehashed = with_hashes(record, path) if (path / "weights.safetensors").is_file() else {**record, "sha256": hashes}
    file.write_text(json.dumps(rehashed))


def edit_tensors(path, name, change):
    """Other tensors, hashes made anew as somebody would who means harm."""
    file = path / f"{name}.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    edit_record(path, lambda record: None)


def test_loaded_equals_saved_to_the_bit(estimator, saved):
    loaded = posterity.load(saved, model=slope)
    for ours, theirs in zip(*(jax.tree.leaves(e.network) for e in (estimator, loaded)), strict=True):
        assert_array_equal(ours, theirs)
    first, second = (e.infer(EXAMPLE, refine_seconds=0.0, num_draws=50, seed=3) for e in (estimator, loaded))
    for site in ("a", "s"):
        assert_array_equal(first.draws[site], second.draws[site])
    assert_array_equal(first.log_joint, second.log_joint)
    assert loaded.record == json.loads(json.dumps(estimator.record))
    assert loaded.simulator.envelope == estimator.simulator.envelope


def test_covariates_are_drawn_from_the_same_rows_after_loading(saved):
    loaded = posterity.load(saved, model=slope)
    drawn = loaded.simulator.draw_covariates(jax.random.key(0), jnp.ones(200, bool), {})["x"]
    assert set(np.asarray(drawn).tolist()) <= set(EXAMPLE["x"].astype(np.float32).tolist())


def test_directory_holds_no_code(saved):
    names = sorted(path.name for path in saved.iterdir())
    assert names == ["covariates.safetensors", "estimator.json", "golden.safetensors", "weights.safetensors"]
    for name in names:
        assert b"\x80\x04" not in (saved / name).read_bytes()[:64]  # no pickle header
    assert "def slope" not in (saved / "estimator.json").read_text()


def test_saving_again_replaces_and_leaves_nothing_beside(estimator, copy):
    (copy / "estimator.json").touch()
    estimator.save(copy)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    posterity.load(copy, model=slope)


@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_a_failure_to_put_in_place_leaves_the_old_one(estimator, copy, monkeypatch, old):
    def fail(source, target):
        raise OSError(errno.EACCES, "denied")

    path = copy if old else copy.with_name("new.estimator")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=f"cannot write the estimator to .*{path.name}: denied"):
        estimator.save(path)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    posterity.load(copy, model=slope)


def test_what_a_killed_run_leaves_confuses_nobody(estimator, copy):
    aside, staging = copy.with_name(f".{copy.name}.old"), copy.with_name(f".{copy.name}.x1y2z3")
    copy.rename(aside)  # killed between the two moves
    staging.mkdir()
    with pytest.raises(InputError, match=f"no such directory; a run that replaced it was cut short: rename .*{aside}"):
        posterity.load(copy, model=slope)
    estimator.save(copy)
    posterity.load(copy, model=slope)
    assert not aside.exists()
    shutil.copytree(copy, aside)  # killed while the old one was removed
    (aside / "estimator.json").unlink()
    posterity.load(copy, model=slope)
    estimator.save(copy)
    posterity.load(copy, model=slope)
    assert sorted(path.name for path in copy.parent.iterdir()) == [staging.name, copy.name]


def test_foreign_folders_are_not_overwritten(estimator, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(InputError, match="exists and is no estimator"):
        estimator.save(tmp_path / "thesis")
    with pytest.raises(InputError, match="does not exist"):
        estimator.save(tmp_path / "nowhere" / "my.estimator")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def other_slope(x, y=None):
    """Same sites, other prior."""
    a = numpyro.sample("a", dist.Normal(0.0, 5.0))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("observations", x.shape[0]):
        numpyro.sample("y", dist.Normal(a * x, s), obs=y)


def test_the_users_model_must_be_given_and_unchanged(saved):
    with pytest.raises(InputError, match=r"trained for your model 'slope'.*--model my_model.py:slope"):
        posterity.load(saved)
    with pytest.raises(InputError, match="other source code than the model given"):
        posterity.load(saved, model=other_slope)


def test_golden_densities_see_a_changed_model(copy, monkeypatch):
    """Even where the source hash agrees, the log joint must."""
    edit_record(copy, lambda r: r["model"].update(describe_model(other_slope)))
    with pytest.raises(InputError, match="golden log_joint: off by"):
        posterity.load(copy, model=other_slope)


def a_head(weights):
    return next(name for name in weights if "head" in name and "bias" in name)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights", lambda t: t.update({a_head(t): t[a_head(t)] + 0.5}), "golden log_q: off by"),
        (
            "weights",
            lambda t: t.update({min(t): np.zeros((1, 2, 3), np.float32)}),
            r"got float32 \(1, 2, 3\); it is dam",
        ),
        ("weights", lambda t: t.update({min(t): t[min(t)].astype(np.float64)}), "expected .* as float32"),
        ("weights", lambda t: t.update({min(t): np.nan * t[min(t)]}), "values that are not finite"),
        ("weights", lambda t: t.pop(min(t)), "got nothing; it is damaged"),
        (
            "weights",
            lambda t: t.update(more=np.zeros(3, np.float32)),
            "holds 'more', which the network has no place for",
        ),
        ("golden", lambda t: t.update({"0/z": t["0/z"][:, :0]}), "does not fit this version of posterity"),
        ("golden", lambda t: t.clear(), "does not fit this version of posterity"),
    ],
    ids=["changed", "shape", "dtype", "nan", "missing", "more", "golden-shape", "golden-gone"],
)
def test_tensors_that_are_not_those_of_the_network(copy, name, change, message):
    edit_tensors(copy, name, change)
    with pytest.raises(InputError, match=message):
        posterity.load(copy, model=slope)


@pytest.mark.parametrize("name", ["estimator.json", "weights.safetensors", "golden.safetensors"])
def test_any_flipped_bit_is_seen(copy, name):
    content = (copy / name).read_bytes()
    for place in np.linspace(0, 8 * len(content) - 1, 100).astype(int).tolist():
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        (copy / name).write_bytes(damaged)
        with pytest.raises(InputError):
            posterity.load(copy, model=slope)


@pytest.mark.parametrize("name", ["estimator.json", "weights.safetensors", "golden.safetensors"])
def test_what_is_no_plain_file_is_not_read(copy, tmp_path, name):
    """A pipe would make it wait for ever, a device eat memory, and a link lead anywhere."""
    file = copy / name
    shutil.move(file, tmp_path / "moved")
    os.mkfifo(file)
    with pytest.raises(InputError, match="it is no plain file"):
        posterity.load(copy, model=slope)
    for place in ("/dev/zero", tmp_path / "moved"):
        file.unlink()
        file.symlink_to(place)
        with pytest.raises(InputError, match="it is a link"):
            posterity.load(copy, model=slope)
    file.unlink()
    file.touch()
    os.truncate(file, 2**34)
    with pytest.raises(InputError, match="17179869184 bytes, where at most"):
        posterity.load(copy, model=slope)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 1_000_000, "nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested too deeply"),
        ('{"format": 1, "format": 2}', "a key comes twice"),
        ('{"format": NaN}', "holds NaN"),
        ("1" * 1_000_000, "is damaged"),
        ('"\\ud800', "is damaged"),
        (b"\xff\xfe", "is damaged"),
    ],
    ids=["bomb", "deep", "twice", "nan", "long", "surrogate", "utf-16"],
)
def test_json_that_is_none(copy, text, message):
    (copy / "estimator.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        posterity.load(copy, model=slope)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("versions", None),
        ("model", {"name": "slope", "source_sha256": "x"}),
        ("model", {"builtin": "linear_regression", "options": {"prior_sd": [1]}}),
        ("example", {"x": {"shape": [10**9, 10**9], "dtype": "float32"}}),
        ("example", {"x": {"shape": [True], "dtype": "float32"}}),
        ("example", {"x": {"shape": [3], "dtype": "float64"}}),
        ("envelope", {"rows": [8, 10**12], "plates": {}}),
        ("envelope", {"rows": [16, 8], "plates": {}}),
        ("covariates", {"law": "resampled", "options": {"a": None}}),
        ("architecture", {"encoder": "deep_sets"}),
        ("record", {}),
        ("record", {"data_envelope": {"x": {"mean": [0.0, 1.0], "sd": [0.0, 1.0], "outlayer": [0.0, 1.0]}}}),
    ],
    ids=str,
)
def test_fields_that_do_not_hold_what_they_should(copy, field, value):
    """Among them a key that was renamed, which silenced what training data had looked like."""
    edit_record(copy, lambda record: record.update({field: value}))
    with pytest.raises(InputError, match=f"'{field}' does not hold what it should"):
        posterity.load(copy, model=slope)


def test_layers_beyond_all_bounds_are_refused_before_they_are_made(copy):
    edit_record(copy, lambda record: record["architecture"]["encoder_options"].update(depth=10**6))
    with pytest.raises(InputError, match="'architecture' does not hold"):
        posterity.load(copy, model=slope)


def test_fields_unknown_or_changed_are_refused(copy):
    edit_record(copy, lambda record: record.update(more=1))
    with pytest.raises(InputError, match="unknown field 'more'"):
        posterity.load(copy, model=slope)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda p: (p / "weights.safetensors").write_bytes(b"garbage"),
            "its hash is not the one in estimator.json",
        ),
        (lambda p: (p / "weights.safetensors").unlink(), "weights.safetensors is missing or damaged"),
        (lambda p: (p / "golden.safetensors").unlink(), "golden.safetensors is missing or damaged"),
        (lambda p: (p / "estimator.json").write_text("{"), "estimator.json is damaged"),
        (lambda p: (p / "estimator.json").write_text("[]"), "was not written by posterity"),
        (lambda p: (p / "estimator.json").unlink(), "has no readable estimator.json"),
        (lambda p: edit_record(p, lambda r: r.update(format="other")), "was not written by posterity"),
        (lambda p: edit_record(p, lambda r: r.update(format_version=99)), "has format version 99"),
        (lambda p: edit_record(p, lambda r: r.pop("envelope")), "has no 'envelope'"),
        (
            lambda p: edit_record(p, lambda r: r["architecture"].update(encoder="deepset")),
            "unknown encoder 'deepset'",
        ),
    ],
    ids=[
        "bytes",
        "no-weights",
        "no-golden",
        "half-json",
        "list",
        "no-json",
        "format",
        "version",
        "key",
        "encoder",
    ],
)
def test_damage_is_named(copy, damage, message):
    damage(copy)
    with pytest.raises(InputError, match=message):
        posterity.load(copy, model=slope)


def test_no_such_directory(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        posterity.load(tmp_path / "nothing")


def test_loads_in_a_fresh_process(saved, tmp_path):
    """Nothing that the estimator needs lives in the process that trained it."""
    code = f"""
import posterity, numpy as np, sys
sys.path.insert(0, {str(tmp_path)!r})
import my_model
estimator = posterity.load({str(saved)!r}, model=my_model.slope)
dataset = {{"x": np.linspace(-1, 1, 12), "y": np.linspace(-2, 2, 12)}}
print(estimator.infer(dataset, refine_seconds=0.0, num_draws=50).num_rows)
"""
    import inspect

    header = "import numpyro\nimport numpyro.distributions as dist\n\n\n"
    (tmp_path / "my_model.py").write_text(header + inspect.getsource(slope))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "12", done.stderr
