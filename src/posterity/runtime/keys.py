"""One rule for random keys: a root key is folded with the name of a purpose, and what comes of it is split.

JAX's `split(key)[i]` equals `fold_in(key, i)`, so a key that is both split and folded with small numbers gives the same
stream twice. Names of purposes fold as checksums, far from any index; a key is never both split and folded otherwise.
"""

import hashlib
import zlib

import numpy as np
from jax import random
from jaxtyping import Array, PRNGKeyArray, UInt32

__all__ = ["dataset_generator", "dataset_key", "dataset_words", "for_purpose", "key_for"]


def key_for(seed: int, purpose: str) -> PRNGKeyArray:
    """The root key of one purpose.

    Args:
        seed: The user's.
        purpose: Such as `draws` or `training`.
    """
    return for_purpose(random.key(seed), purpose)


def for_purpose(rng_key: PRNGKeyArray, purpose: str) -> PRNGKeyArray:
    """A key of its own for one purpose of several that share a root."""
    return random.fold_in(rng_key, zlib.crc32(purpose.encode()))


def dataset_words(name: str | None, place: int) -> UInt32[np.ndarray, " 3"]:
    """What tells a dataset's key from all others': its name, or its place among others where it has none.

    Args:
        name: Such as the value of a grouping column.
        place: Counted from 0; means nothing where there is a name.
    """
    if name is None:
        return np.array([0, place & 0xFFFFFFFF, place >> 32], np.uint32)
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.concatenate([[1], np.frombuffer(digest, "<u4")]).astype(np.uint32)


def dataset_key(root: PRNGKeyArray, words: UInt32[Array, " 3"]) -> PRNGKeyArray:
    """The key of one dataset; the same alone, in any batch and in any order.

    Args:
        root: Of all datasets, see `key_for`.
        words: What `dataset_words` gives.
    """
    for i in range(3):
        root = random.fold_in(root, words[i])
    return root


def dataset_generator(seed: int, words: UInt32[np.ndarray, " 3"], purpose: str) -> np.random.Generator:
    """NumPy's random numbers of one dataset, for what is drawn outside of compiled programs.

    Args:
        seed: Of all datasets, at least 0.
        words: What `dataset_words` gives.
        purpose: Such as `draws`.
    """
    return np.random.default_rng([seed, *words.tolist(), zlib.crc32(purpose.encode())])
