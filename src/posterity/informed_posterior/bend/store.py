"""The shipped row network on disk: JSON, safetensors, and golden densities that a test checks.

Where the golden check itself changes, not the network, its densities are computed anew with

    python -c "from posterity.informed_posterior.bend.store import SHIPPED, write_golden; write_golden(SHIPPED)"
"""

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
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray

from posterity.informed_posterior.anchor.anchor import find_anchor
from posterity.informed_posterior.bend.network import RowNetwork
from posterity.informed_posterior.bend.posterior import AnchoredPosterior
from posterity.informed_posterior.read.terms import Terms
from posterity.runtime.bounded import read_plain
from posterity.runtime.compile import filter_jit
from posterity.runtime.errors import InputError
from posterity.runtime.tensors import named_weights, parse_tensors, with_weights

__all__ = [
    "SHIPPED",
    "check_network",
    "read_network",
    "shipped_network",
    "trained_for",
    "write_golden",
    "write_network",
]

SHIPPED = Path(str(resources.files("posterity.informed_posterior.bend"))) / "shipped"
RECORD, WEIGHTS, GOLDEN = "network.json", "weights.safetensors", "golden.safetensors"
MOST_BYTES = 2**26
FORMAT, FORMAT_VERSION = "posterity.row_network", 1
NUM_GOLDEN, GOLDEN_ROWS, GOLDEN_LATENTS = 4, 24, 6


def write_network(path: Path, network: RowNetwork, record: Mapping[str, Any]) -> None:
    """Writes a row network to a directory.

    Args:
        path: Made if need be; files of an older network are replaced.
        network: What is written.
        record: How it was trained, as plain values; its `sizes` are `(rows, latents, ...)` of what it was trained on.
    """
    from safetensors.numpy import save_file

    path.mkdir(parents=True, exist_ok=True)
    save_file(named_weights(network), path / WEIGHTS)
    versions = {name: importlib.metadata.version(name) for name in ("posterity", "jax", "equinox", "numpyro")}
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "versions": versions}
    (path / RECORD).write_text(json.dumps({**head, "record": dict(record)}, indent=2) + "\n")
    write_golden(path)


def write_golden(path: Path) -> None:
    """Writes the densities that the network in a directory gives, for `check_network` to compare with."""
    from safetensors.numpy import save_file

    save_file({"log_q": np.asarray(_golden(read_network(path)))}, path / GOLDEN)


def read_network(path: Path) -> RowNetwork:
    """Reads a row network.

    Raises:
        InputError: Nothing there, damaged, or foreign.
    """
    _read_head(path)
    return with_weights(
        path / WEIGHTS, _read(path / WEIGHTS), eqx.filter_eval_shape(lambda: RowNetwork(key=random.key(0)))
    )


def _read(file: Path) -> dict[str, np.ndarray]:
    return parse_tensors(read_plain(file, MOST_BYTES, follow=True), file)  # installers may link what a package holds


def check_network(path: Path) -> None:
    """Makes sure that a row network gives the densities that it gave when it was written; takes a compilation.

    Raises:
        InputError: It does not, or cannot be read.
    """
    saved, now = _read(path / GOLDEN)["log_q"], np.asarray(_golden(read_network(path)))
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


@functools.cache
def trained_for() -> Mapping[str, int]:
    """Most rows and most latents of the datasets that the shipped network was trained on, by its own record."""
    rows, latents, *_ = zip(*_read_head(SHIPPED)["record"]["sizes"], strict=True)
    return {"rows": max(rows), "latents": max(latents)}


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads((path / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no row network, or a damaged one: {error}") from error
    if head.get("format") != FORMAT or head.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} is no row network of format version {FORMAT_VERSION}; got {head.get('format')}")
    return head


def _log_density(y: Array, is_logistic: Array, eta: Array) -> Array:
    return y * eta - jnp.where(is_logistic, jax.nn.softplus(eta), jnp.exp(eta))


@filter_jit
def _golden(network: RowNetwork) -> Array:
    """Log densities of a few draws for a few made-up regressions."""

    def one(seed: Array) -> Array:
        key_data, key_draws = random.split(random.key(seed))
        terms = _regression(key_data, seed % 2 == 0)
        anchor = find_anchor(terms)
        return AnchoredPosterior.around(anchor, network(terms, anchor)).sample_and_log_prob(key_draws, 4)[1]

    return jax.vmap(one)(jnp.arange(NUM_GOLDEN))


def _regression(rng_key: PRNGKeyArray, is_logistic: Array) -> Terms:
    """A made-up logistic or Poisson regression with standard normal priors."""
    key_x, key_z, key_y = random.split(rng_key, 3)
    x = random.normal(key_x, (GOLDEN_ROWS, GOLDEN_LATENTS))
    eta = x @ random.normal(key_z, (GOLDEN_LATENTS,)) / GOLDEN_LATENTS**0.5
    u = random.uniform(key_y, eta.shape)
    y = jnp.where(is_logistic, u < jax.nn.sigmoid(eta), jnp.floor(2.0 * u * jnp.exp(eta))).astype(jnp.float32)
    return Terms(
        design=x,
        offset=jnp.zeros(GOLDEN_ROWS),
        active=jnp.ones(GOLDEN_ROWS, bool),
        is_prior=jnp.zeros(GOLDEN_ROWS, bool),
        log_density=Partial(_log_density, y, is_logistic),
        precision=jnp.eye(GOLDEN_LATENTS),
        linear=jnp.zeros(GOLDEN_LATENTS),
        constant=jnp.zeros(()),
        mask=jnp.ones(GOLDEN_LATENTS, bool),
    )
