"""Weights of a network as named tensors on disk, in safetensors: no pickle, no code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from posterity.runtime.errors import InputError

__all__ = ["named_weights", "parse_tensors", "with_weights"]

Network = TypeVar("Network", bound=eqx.Module)


def named_weights(network: eqx.Module) -> dict[str, np.ndarray]:
    """Every trained array of a network, by its place in it."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(network, eqx.is_inexact_array))
    return {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in leaves}


def parse_tensors(content: bytes, file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file.

    Args:
        content: What it holds.
        file: Where it lies, for messages.

    Raises:
        InputError: It is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # the last two: dtypes that NumPy has not
        raise InputError(f"{file} is missing or damaged: {error}") from error


def with_weights(file: Path, weights: Mapping[str, np.ndarray], skeleton: Network) -> Network:
    """A network with the weights of a file.

    Args:
        file: Where they came from, for messages.
        weights: What `named_weights` gave, and nothing else.
        skeleton: The network's structure, with shapes in place of weights.

    Raises:
        InputError: There is a weight too few or too many, or one of another shape or dtype.
    """
    unknown = set(weights)

    def pick(where: Any, leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where)
        unknown.discard(name)
        if name not in weights or weights[name].shape != leaf.shape or weights[name].dtype != leaf.dtype:
            got = f"{weights[name].dtype} {weights[name].shape}" if name in weights else "nothing"
            raise InputError(f"{file}: expected '{name}' as {leaf.dtype} {leaf.shape}, got {got}; it is damaged")
        return jax.device_put(weights[name])  # `jnp.asarray` would compile a program for each shape

    network = jax.tree_util.tree_map_with_path(pick, skeleton)
    if unknown:
        raise InputError(f"{file}: holds '{min(unknown)}', which the network has no place for; it is damaged")
    return network
