"""One rule for random keys: a root key is folded with the name of a purpose, and what comes of it is split.

JAX's `split(key)[i]` equals `fold_in(key, i)`, so a key that is both split and folded with small numbers gives the same
stream twice. Names of purposes fold as checksums, far from any index; a key is never both split and folded otherwise.
"""

import functools
import hashlib
import math
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jax.extend.random import define_prng_impl
from jaxtyping import Array, PRNGKeyArray, UInt32

__all__ = ["dataset_generator", "dataset_key", "dataset_words", "for_purpose", "key_for", "quick_key"]


def key_for(seed: int, purpose: str) -> PRNGKeyArray:
    """The root key of one purpose.

    Args:
        seed: The user's.
        purpose: Such as `draws` or `training`.
    """
    config: Any = jax.config
    if config.jax_default_prng_impl != "threefry2x32":
        return for_purpose(random.key(seed), purpose)
    # The same numbers without JAX: it would compile three programs first, which takes a quarter of a second.
    high = seed >> 32 if config.jax_enable_x64 else 0
    root, number = (np.array(words, np.uint32) for words in ((high, seed & 0xFFFFFFFF), (0, _number_of(purpose))))
    return random.wrap_key_data(jax.device_put(_threefry(root, number)), impl="threefry2x32")


def for_purpose(rng_key: PRNGKeyArray, purpose: str) -> PRNGKeyArray:
    """A key of its own for one purpose of several that share a root."""
    return random.fold_in(rng_key, _number_of(purpose))


def _number_of(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def _threefry(key: UInt32[np.ndarray, " 2"], block: UInt32[np.ndarray, " 2"]) -> UInt32[np.ndarray, " 2"]:
    """Threefry-2x32 of 20 rounds (Salmon et al. 2011), the hash behind JAX's keys."""
    subkeys = [*key, key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)]
    with np.errstate(over="ignore"):  # modulo 2^32
        x, y = block[0] + subkeys[0], block[1] + subkeys[1]
        for turn in range(5):
            for bits in ((13, 15, 26, 6), (17, 29, 16, 24))[turn % 2]:
                x = x + y
                y = x ^ (y << np.uint32(bits) | y >> np.uint32(32 - bits))
            x, y = x + subkeys[(turn + 1) % 3], y + subkeys[(turn + 2) % 3] + np.uint32(turn + 1)
    return np.array([x, y], np.uint32)


def quick_key(seed: int | Array) -> PRNGKeyArray:
    """A key for numbers that need not be good ones, such as points at which a model is looked at.

    Half of what a small program takes to compile is JAX's own generator; a hash of 32 bits compiles in no time.
    """
    return random.key(seed, impl=_quick_generator())


@functools.cache
def _quick_generator() -> Any:
    def mixed(words: Array) -> Array:
        """The finalizer of MurmurHash3, a bijection of 32 bits."""
        words = (words ^ (words >> 16)) * np.uint32(0x85EBCA6B)
        words = (words ^ (words >> 13)) * np.uint32(0xC2B2AE35)
        return words ^ (words >> 16)

    def nth(key: Array, number: Any) -> Array:
        """As SplitMix goes on from its state."""
        return mixed(key + np.uint32(0x9E3779B9) * (number.astype(np.uint32) + np.uint32(1)))

    def counted(shape: Sequence[int]) -> Array:
        return lax.reshape(lax.iota(np.uint32, math.prod(shape)), tuple(shape))

    def bits(key: Array, bit_width: int, shape: Sequence[int]) -> Array:
        if bit_width == 64:
            high, low = (nth(nth(key[0], jnp.uint32(half)), counted(shape)).astype(np.uint64) for half in range(2))
            return high << 32 | low
        return nth(~key[0], counted(shape)).astype(f"uint{bit_width}")

    return define_prng_impl(
        key_shape=(1,),
        seed=lambda seed: mixed(seed.astype(np.uint32))[None],
        split=lambda key, shape: nth(key[0], counted(shape))[..., None],
        random_bits=bits,
        fold_in=nth,
        name="posterity_quick",
        tag="pq",
    )


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
    return np.random.default_rng([seed, *words.tolist(), _number_of(purpose)])
