"""Weights of a network as named tensors on disk, in safetensors: no pickle, no code."""

from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from posterity.runtime.errors import InputError

__all__ = ["named_weights", "read_tensors", "with_weights"]

Network = TypeVar("Network", bound=eqx.Module)


def named_weights(network: eqx.Module) -> dict[str, np.ndarray]:
    """Every trained array of a network, by its place in it."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(network, eqx.is_inexact_array))
    return {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in leaves}


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file.

    Raises:
        InputError: It is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file} is missing or damaged: {error}") from error


def with_weights(file: Path, skeleton: Network) -> Network:
    """A network with the weights of a file.

    Args:
        file: What `named_weights` gave, saved.
        skeleton: The network's structure, with shapes in place of weights.

    Raises:
        InputError: The file is missing or damaged, or lacks a weight of the right shape.
    """
    weights = read_tensors(file)

    def pick(where: Any, leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where)
        if name not in weights or weights[name].shape != leaf.shape:
            got = weights[name].shape if name in weights else "nothing"
            raise InputError(f"{file}: expected '{name}' with shape {leaf.shape}, got {got}; it is damaged")
        return jax.device_put(weights[name])  # `jnp.asarray` would compile a program for each shape

    return jax.tree_util.tree_map_with_path(pick, skeleton)
