"""The shipped row network on disk: JSON, safetensors, and golden densities that a test checks."""

import functools
import importlib.metadata
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Array

from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.curriculum import draw_terms
from posterity.runtime.compile import filter_jit
from posterity.runtime.errors import InputError
from posterity.runtime.tensors import named_weights, read_tensors, with_weights

__all__ = ["SHIPPED", "check_network", "read_network", "shipped_network", "write_network"]

SHIPPED = Path(str(resources.files("posterity.informed_posterior.bend"))) / "shipped"
RECORD, WEIGHTS, GOLDEN = "network.json", "weights.safetensors", "golden.safetensors"
FORMAT, FORMAT_VERSION = "posterity.row_network", 1
GOLDEN_KEYS, GOLDEN_SIZE = (0, 1, 2, 3), (24, 6)


def write_network(path: Path, network: RowNetwork, record: Mapping[str, Any]) -> None:
    """Writes a row network to a directory.

    Args:
        path: Made if need be; files of an older network are replaced.
        network: What is written.
        record: How it was trained, as plain values.
    """
    from safetensors.numpy import save_file

    path.mkdir(parents=True, exist_ok=True)
    save_file(named_weights(network), path / WEIGHTS)
    save_file({"log_q": np.asarray(_golden(network))}, path / GOLDEN)
    versions = {name: importlib.metadata.version(name) for name in ("posterity", "jax", "equinox", "numpyro")}
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "versions": versions}
    (path / RECORD).write_text(json.dumps({**head, "record": dict(record)}, indent=2) + "\n")


def read_network(path: Path) -> RowNetwork:
    """Reads a row network.

    Raises:
        InputError: Nothing there, damaged, or foreign.
    """
    try:
        head = json.loads((path / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no row network, or a damaged one: {error}") from error
    if head.get("format") != FORMAT or head.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} is no row network of format version {FORMAT_VERSION}; got {head.get('format')}")
    return with_weights(path / WEIGHTS, eqx.filter_eval_shape(lambda: RowNetwork(key=random.key(0))))


def check_network(path: Path) -> None:
    """Makes sure that a row network gives the densities that it gave when it was written; takes a compilation.

    Raises:
        InputError: It does not, or cannot be read.
    """
    saved, now = read_tensors(path / GOLDEN)["log_q"], np.asarray(_golden(read_network(path)))
    if not np.allclose(now, saved, rtol=1e-3, atol=2e-2):
        gap = float(np.max(np.abs(now - saved)))
        raise InputError(
            f"{path} does not reproduce its own golden densities: off by {gap:.3g} nats. Its weights or a library "
            "has changed; do not use it: reinstall posterity"
        )


@functools.cache
def shipped_network() -> RowNetwork:
    """The network that ships inside the package."""
    return read_network(SHIPPED)


@filter_jit
def _golden(network: RowNetwork) -> Array:
    """Log densities of a few draws for a few made-up regressions."""

    def one(seed: Array) -> Array:
        terms, _ = draw_terms(random.key(seed), *GOLDEN_SIZE)
        anchor = find_anchor(terms)
        return AnchoredPosterior(anchor, network(terms, anchor)).sample_and_log_prob(random.key(seed), 4)[1]

    return jax.vmap(one)(jnp.asarray(GOLDEN_KEYS))
