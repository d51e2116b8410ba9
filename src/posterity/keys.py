"""Random keys by purpose, so that no two purposes of one seed share a stream.

JAX's keys are counters: `split(key)[i]` is `fold_in(key, i)`, so a key that is split in one place and folded or split
again in another gives the same numbers twice. The rule: a root key is folded with the name of a purpose, and what
comes out is split, or folded with a counter, never both.
"""

import zlib

from jax import random
from jaxtyping import PRNGKeyArray

__all__ = ["key_for", "named_key"]


def key_for(seed: int, purpose: str) -> PRNGKeyArray:
    """The key of one purpose of a seed, such as `key_for(0, "training")`; the same on every machine."""
    return named_key(random.key(seed), purpose)


def named_key(rng_key: PRNGKeyArray, purpose: str) -> PRNGKeyArray:
    """The key of one purpose of another key; names hash far beyond any counter that keys are split with."""
    return random.fold_in(rng_key, zlib.crc32(purpose.encode()))
