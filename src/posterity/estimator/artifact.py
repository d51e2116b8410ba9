"""Estimators on disk: a directory of JSON and safetensors, no pickle and no code.

`estimator.json` says what the estimator is, `weights.safetensors` holds its weights, `golden.safetensors` a few
datasets with the densities that they must give, checked at every load, and `covariates.safetensors` the rows that
training covariates were drawn from, if they were. A model of the user's own is given again when loading, and its
source is compared.

An estimator may come from a stranger, or from a disk that errs. Files are read only if they are plain and of a size
that makes sense; `estimator.json` holds the hashes of all, its own included, and is checked field by field, before
anything is made of it.
"""

import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random, vmap
from jaxtyping import Array, PRNGKeyArray

from posterity.amortized.architecture import Architecture
from posterity.amortized.network import AmortizedPosterior, network_skeleton
from posterity.estimator.schema import check_record
from posterity.model.arguments import model_name
from posterity.model.builtin import MODELS
from posterity.model.dataset import Dataset
from posterity.model.identity import describe_model
from posterity.runtime.bounded import digest, plain_json, read_plain
from posterity.runtime.compile import filter_jit
from posterity.runtime.errors import InputError, did_you_mean, lookup
from posterity.runtime.keys import key_for
from posterity.runtime.plain import without_nan
from posterity.runtime.tensors import named_weights, parse_tensors, with_weights
from posterity.simulation.covariates import COVARIATE_LAWS, ResampledRows
from posterity.simulation.envelope import Envelope
from posterity.simulation.simulator import Simulator, build_simulator

__all__ = ["FORMAT_VERSION", "Artifact", "check_writable", "find_artifact", "read_artifact", "write_artifact"]

FORMAT_VERSION = 1
RECORD, WEIGHTS, GOLDEN, ROWS = (
    "estimator.json",
    "weights.safetensors",
    "golden.safetensors",
    "covariates.safetensors",
)
MOST_BYTES = {RECORD: 2**22, WEIGHTS: 2**31, GOLDEN: 2**28, ROWS: 2**30}
NUM_GOLDEN, NUM_GOLDEN_DRAWS = 3, 4
MAX_COVARIATE_ROWS = 2000
# Densities on another processor or XLA version differ by float32 rounding; a changed network differs by nats.
GOLDEN_RTOL, GOLDEN_ATOL = 1e-3, 2e-2


class Artifact(NamedTuple):
    """What an estimator's directory holds."""

    simulator: Simulator
    network: AmortizedPosterior
    architecture: Architecture
    record: Mapping[str, Any]


def write_artifact(contents: Artifact, path: Path) -> None:
    """Writes an estimator; the directory appears complete or not at all, and a failure leaves an older one in place.

    Args:
        contents: What to write.
        path: A directory that does not exist, or holds an older estimator, which is replaced.

    Raises:
        InputError: The path is taken by something else or cannot be written.
    """
    from safetensors.numpy import save_file

    check_writable(path)
    simulator = contents.simulator
    golden = _golden(contents.network, simulator)
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        save_file(named_weights(contents.network), staging / WEIGHTS)
        save_file(golden, staging / GOLDEN)
        law = simulator.covariate_law
        if simulator.model.covariates and law.name not in ("normal", "table"):
            save_file(_covariate_rows(simulator), staging / ROWS)
        record = with_hashes(_record(contents), staging)
        (staging / RECORD).write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
        os.chmod(staging, 0o755)
        _put_in_place(staging, path)
    except OSError as error:
        raise InputError(f"cannot write the estimator to {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, path: Path) -> None:
    """Moves a directory to `path`. An older estimator there steps aside, and comes back if the move fails."""
    aside = _aside(path)
    if path.exists():
        # Left, whole or in part, by a run that was killed when its new estimator was in place.
        if aside.is_dir() and {file.name for file in aside.iterdir()} <= {RECORD, WEIGHTS, GOLDEN, ROWS}:
            shutil.rmtree(aside)
        os.rename(path, aside)
    try:
        os.replace(staging, path)
    except OSError:
        if aside.exists():
            os.rename(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    """Where an older estimator is while a new one takes its place."""
    return path.absolute().with_name(f".{path.name}.old")


def check_writable(path: Path) -> None:
    """Raises InputError unless an estimator can be written to `path`; called before training starts, too."""
    if path.exists() and not (path / RECORD).exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"cannot write the estimator to {path}: it exists and is no estimator; choose another name")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f"cannot write the estimator to {path}: the folder {parent} does not exist")
    if not os.access(parent, os.W_OK):
        raise InputError(f"cannot write the estimator to {path}: the folder {parent} is not writable")


def find_artifact(path: str | Path) -> Path:
    """The directory of an estimator on disk.

    Raises:
        InputError: There is none; the message says how to make one, or which model was meant.
    """
    path = Path(path)
    if path.exists():
        return path
    if str(path) in MODELS:
        raise InputError(
            f"'{path}' is a built-in model that has to be trained first: posterity train {path} -o {path}.estimator"
        )
    hint = did_you_mean(str(path), MODELS)
    raise InputError(f"no estimator at '{path}': there is neither such a directory nor a model of that name.{hint}")


def read_artifact(path: Path, model: Callable[..., Any] | None = None) -> Artifact:
    """Reads an estimator and makes sure that it still gives the densities it gave when it was saved.

    Args:
        path: Its directory.
        model: The NumPyro model, where it is the user's own.

    Raises:
        InputError: No estimator, a damaged or foreign one, another model than it was trained for, or densities
            that have changed.
    """
    record = _read_record(path)
    found = _model(path, record["model"], model)
    golden, weights = (_read_tensors(path, record, name) for name in (GOLDEN, WEIGHTS))
    try:
        simulator = _rebuild_simulator(path, record, found)
        architecture = Architecture(**record["architecture"])
        network = with_weights(path / WEIGHTS, weights, network_skeleton(simulator, architecture))
        _check_golden(path, network, simulator, golden)
    except InputError:
        raise
    except Exception as error:  # of arrays that fit nothing, there is no end of kinds
        raise InputError(
            f"{path / RECORD} does not fit this version of posterity ({type(error).__name__}: {str(error)[:200]}); "
            "it is damaged, or was written by another version: train again"
        ) from error
    return Artifact(simulator, network, architecture, record["record"])


def _record(contents: Artifact) -> dict[str, Any]:
    simulator = contents.simulator
    law = simulator.covariate_law
    options = {"num_factors": law.num_factors} if law.name == "table" else {}  # pyright: ignore[reportAttributeAccessIssue]
    return {
        "format": "posterity.estimator",
        "format_version": FORMAT_VERSION,
        "versions": {name: importlib.metadata.version(name) for name in ("posterity", "jax", "numpyro", "equinox")},
        "model": describe_model(simulator.model.function),
        "example": {name: {"shape": list(s), "dtype": d} for name, (s, d) in simulator.model.example_shapes.items()},
        "envelope": simulator.envelope.to_json(),
        "covariates": {"law": law.name if law.name in COVARIATE_LAWS else "resampled", "options": options},
        "architecture": contents.architecture.to_json(),
        "record": without_nan(contents.record),
    }


def _read_record(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        aside = _aside(path)
        kept = f"; a run that replaced it was cut short: rename {aside} to get it back" if aside.is_dir() else ""
        raise InputError(f"no estimator at {path}: there is no such directory{kept}")
    if not os.path.lexists(path / RECORD):
        raise InputError(f"{path} is no estimator: it has no readable {RECORD}")
    record = plain_json(read_plain(path / RECORD, MOST_BYTES[RECORD]), str(path / RECORD))
    if not isinstance(record, dict) or record.get("format") != "posterity.estimator":
        raise InputError(f"{path / RECORD} was not written by posterity")
    if record.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {record.get('format_version')}; this posterity reads version "
            f"{FORMAT_VERSION}: install the posterity that wrote it, or train again"
        )
    check_record(record, str(path / RECORD))
    if record["sha256"].get(RECORD) != _own_hash(record):
        raise InputError(f"{path / RECORD} is damaged: it has changed since it was written")
    return record


def with_hashes(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The record with the hashes of a folder's files, and its own.

    Args:
        record: Without hashes.
        folder: Where the files are.
    """
    files = [name for name in (WEIGHTS, GOLDEN, ROWS) if (folder / name).exists()]
    hashed = {**record, "sha256": {name: digest(read_plain(folder / name, MOST_BYTES[name])) for name in files}}
    hashed["sha256"][RECORD] = _own_hash(hashed)
    return hashed


def _own_hash(record: Mapping[str, Any]) -> str:
    """Of all fields, the other files' hashes included."""
    others = {name: value for name, value in record["sha256"].items() if name != RECORD}
    return digest(json.dumps({**record, "sha256": others}, sort_keys=True).encode())


def _read_tensors(path: Path, record: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    """The finite tensors of one of an estimator's files, which must be the one that was written.

    Raises:
        InputError: It is missing, damaged or another one.
    """
    content = read_plain(path / name, MOST_BYTES[name])
    if digest(content) != record["sha256"].get(name):
        raise InputError(f"{path / name} is damaged, or of another estimator: its hash is not the one in {RECORD}")
    tensors = parse_tensors(content, path / name)
    for tensor, values in tensors.items():
        if not np.isfinite(values).all() and "/log_" not in tensor:
            raise InputError(f"{path / name} is damaged: '{tensor}' holds values that are not finite")
    return tensors


def _model(path: Path, saved: Mapping[str, Any], given: Callable[..., Any] | None) -> Callable[..., Any]:
    """The model to rebuild the problem with; a built-in is found by name, the user's own is compared."""
    if "builtin" in saved:
        if given is not None and describe_model(given) != dict(saved):
            raise InputError(f"{path} was trained for the built-in '{saved['builtin']}', not for the model given")
        return lookup("model", saved["builtin"], MODELS).with_options(saved["options"])
    if given is None:
        raise InputError(
            f"{path} was trained for your model '{saved['name']}', which it does not contain: give it again, as "
            f"load(path, model={saved['name']}) or --model my_model.py:{saved['name']}"
        )
    if describe_model(given) != dict(saved):
        raise InputError(
            f"{path} was trained for '{saved['name']}' with other source code than the model given "
            f"('{model_name(given)}'); give the model as it was, or train again"
        )
    return given


def _rebuild_simulator(path: Path, record: Mapping[str, Any], model: Callable[..., Any]) -> Simulator:
    example = {name: jnp.zeros(a["shape"], a["dtype"]) for name, a in record["example"].items()}
    law_name, options = record["covariates"]["law"], record["covariates"]["options"]
    if law_name == "resampled":
        rows = _read_tensors(path, record, ROWS) if ROWS in record["sha256"] else {}
        law = ResampledRows({name: jnp.asarray(array) for name, array in rows.items()})
    else:
        law = COVARIATE_LAWS[law_name](**options)
    return build_simulator(model, example, Envelope.from_json(record["envelope"]), covariates=law, check=False)


def _covariate_rows(simulator: Simulator) -> dict[str, np.ndarray]:
    """Rows to draw covariates from after loading: the law's own if few, else a sample of it."""
    masks = simulator.model.plate_masks(simulator.model.capacity)
    rows = simulator.draw_covariates(key_for(0, "covariate rows"), jnp.ones(MAX_COVARIATE_ROWS, bool), masks)
    law = simulator.covariate_law
    if isinstance(law, ResampledRows) and next(iter(law.rows.values())).shape[0] <= MAX_COVARIATE_ROWS:
        rows = dict(law.rows)
    return {name: np.asarray(array) for name, array in rows.items()}


def _golden(network: AmortizedPosterior, simulator: Simulator) -> dict[str, np.ndarray]:
    """A few simulated datasets, points `z`, and the log densities that they give."""
    num_rows = min(simulator.envelope.rows[1], 64)
    tensors: dict[str, np.ndarray] = {}
    sizes = [{p: bounds[i % 2] for p, bounds in simulator.envelope.plates.items()} for i in range(NUM_GOLDEN)]
    for index, size in enumerate(sizes):
        rng_key = key_for(index, "golden datasets")
        mask = jnp.arange(num_rows) < max(1, num_rows - index)
        dataset, z = _golden_inputs(network, simulator, mask, simulator.model.plate_masks(size), rng_key)
        log_q, log_joint = _densities(network, simulator, dataset, z)
        tensors |= {f"{index}/values/{name}": np.asarray(v) for name, v in dataset.values.items()}
        tensors |= {f"{index}/plates/{name}": np.asarray(m) for name, m in dataset.plate_masks.items()}
        tensors |= {
            f"{index}/row_mask": np.asarray(mask),
            f"{index}/z": np.asarray(z),
            f"{index}/log_q": np.asarray(log_q),
            f"{index}/log_joint": np.asarray(log_joint),
        }
    return tensors


@filter_jit
def _golden_inputs(
    network: AmortizedPosterior,
    simulator: Simulator,
    row_mask: Array,
    plate_masks: Mapping[str, Array],
    rng_key: PRNGKeyArray,
) -> tuple[Dataset, Array]:
    """One simulated dataset and a few points `z` from its q."""
    key_data, key_q = random.split(rng_key)
    dataset, _ = simulator.simulate(key_data, row_mask, plate_masks)
    return dataset, network(dataset, simulator.model.space.mask(plate_masks)).sample(key_q, NUM_GOLDEN_DRAWS)


def _check_golden(
    path: Path, network: AmortizedPosterior, simulator: Simulator, golden: Mapping[str, np.ndarray]
) -> None:
    for index in range(NUM_GOLDEN):
        dataset = Dataset(
            {a.name: jnp.asarray(golden[f"{index}/values/{a.name}"]) for a in simulator.model.arguments},
            jnp.asarray(golden[f"{index}/row_mask"]),
            {plate: jnp.asarray(golden[f"{index}/plates/{plate}"]) for plate in simulator.envelope.plates},
        )
        densities = _densities(network, simulator, dataset, jnp.asarray(golden[f"{index}/z"]))
        for name, now in zip(("log_q", "log_joint"), densities, strict=True):
            saved = golden[f"{index}/{name}"]
            if not np.allclose(now, saved, rtol=GOLDEN_RTOL, atol=GOLDEN_ATOL):
                gap = float(np.max(np.abs(np.asarray(now) - saved)))
                raise InputError(
                    f"{path} does not reproduce its own golden {name}: off by {gap:.3g} nats. Its weights, the model "
                    "or a library has changed; do not use it: train again or reinstall the versions in its record"
                )


@filter_jit
def _densities(network: AmortizedPosterior, simulator: Simulator, dataset: Dataset, z: Array) -> tuple[Array, Array]:
    q = network(dataset, simulator.model.space.mask(dataset.plate_masks))
    return vmap(q.log_prob)(z), vmap(simulator.model.log_joint, in_axes=(0, None))(z, dataset)
