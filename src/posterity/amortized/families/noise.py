"""Base noise: the random numbers behind the draws of one dataset, made outside of all compiled programs.

They are an argument of the programs that bend them, so that no generator is compiled, and each dataset has its own,
whatever is computed beside it. A tenth of all draws is defensive: wider than q, see `families.wider`.
"""

import functools
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Int, PRNGKeyArray

from posterity.model.dataset import AnyArray

__all__ = ["NUM_BLOCKS", "REACH", "BaseNoise", "base_noise", "base_noises", "noise_of_key", "num_wider"]

NUM_BLOCKS = 4
"""Draws come in this many blocks of equal size: those of a scale's quarters share what costs most."""

REACH = 5.0
"""Standard deviations to which wider draws of a scale go: beyond, 32-bit uniform numbers near 1 are too coarse."""

PER_WIDER = 9  # draws of q for each that is wider


class BaseNoise(NamedTuple):
    """Random numbers for some draws, a multiple of `NUM_BLOCKS`: in each block those of q, then those that are wider.

    Attributes:
        normal: Standard normal, independent.
        uniform: In (0, 1); of each column of draws of q, one in each of equally wide intervals. The first ascends from
            block to block, the others come in random orders (a Latin hypercube).
        stretch: Which way a draw is wider, uniform in (0, 1); -1 for draws of q.
        order: Which draws to hand out, in random order: a permutation, or a part of one.
    """

    normal: Float[AnyArray, "draw latent"]
    uniform: Float[AnyArray, "draw number"]
    stretch: Float[AnyArray, " draw"]
    order: Int[AnyArray, " out"]


def num_wider(num_draws: int) -> int:
    """Draws that are wider than q, beside `num_draws` of q itself: a tenth of all."""
    return NUM_BLOCKS * -(-num_draws // (PER_WIDER * NUM_BLOCKS))


def base_noise(
    rng: np.random.Generator, num_draws: int, size: int, num_uniform: int = 0, num_scores: int = 0
) -> BaseNoise:
    """Noise of one dataset.

    Args:
        rng: Consumed here.
        num_draws: Draws of q that are handed out, `num_wider` of them beside.
        size: Latents.
        num_uniform: Uniform numbers of each draw.
        num_scores: How many of them, the first, are probabilities of scales, which are widened, too.
    """
    return BaseNoise(*(part[0] for part in base_noises([rng], num_draws, size, num_uniform, num_scores)))


def base_noises(
    rngs: Sequence[np.random.Generator], num_draws: int, size: int, num_uniform: int = 0, num_scores: int = 0
) -> BaseNoise:
    """Noise of some datasets along a leading axis: of each its own, as `base_noise` gives it."""
    own = -(-num_draws // NUM_BLOCKS) * NUM_BLOCKS
    wider = num_wider(num_draws)
    layout, place = _by_blocks(own, wider)
    made = [_Raw.made(rng, own, wider, num_draws, size, num_uniform, num_scores) for rng in rngs]
    raw = _Raw(*map(np.stack, zip(*made, strict=True)))
    uniform = np.concatenate([raw.uniform, _wider_uniform(raw, num_scores)], axis=1)[:, layout]
    kinds = np.broadcast_to(np.concatenate([np.full(own, -1.0), np.zeros(wider)]), (len(rngs), own + wider)).copy()
    kinds[:, own:] = raw.kinds
    numbers: tuple[Any, ...] = (
        raw.normal,
        uniform.astype(np.float32),
        kinds[:, layout].astype(np.float32),
        place[raw.handed_out],
    )
    return BaseNoise(*numbers)


class _Raw(NamedTuple):
    """Numbers of one dataset as they come from its generator, or of several along a leading axis.

    Attributes:
        uniform: Of draws of q, stratified.
        blocks: Quarter in which each uniform number of a wider draw lies.
        within: Where within the quarter.
        which: Kind of a wider draw's spread.
        one: Score that is spread alone.
        kinds: Ways in which draws are wider.
        handed_out: Draws to hand out, those of q counted first.
        normal: As in `BaseNoise`.
    """

    uniform: Any
    blocks: Any
    within: Any
    which: Any
    one: Any
    kinds: Any
    handed_out: Any
    normal: Any

    @classmethod
    def made(
        cls,
        rng: np.random.Generator,
        own: int,
        wider: int,
        num_draws: int,
        size: int,
        num_uniform: int,
        num_scores: int,
    ) -> "_Raw":
        """From one generator; the order of the calls decides the numbers."""
        uniform = _stratified(rng.random((own, num_uniform), dtype=np.float32), np)
        uniform[:, 1:] = rng.permuted(uniform[:, 1:], axis=0)
        block = np.repeat(np.arange(NUM_BLOCKS), wider // NUM_BLOCKS)
        blocks = np.stack([block, *[rng.permutation(block) for _ in range(1, num_uniform)]], axis=1)[:, :num_uniform]
        within = rng.random((wider, num_uniform))
        which = one = np.zeros((wider, 1), int)
        if num_scores:
            which = rng.integers(2 if num_scores == 1 else 3, size=(wider, 1))
            one = rng.integers(num_scores, size=(wider, 1))
        kinds = rng.permutation((np.arange(wider) + rng.random()) / wider)
        handed_out = rng.permutation(np.concatenate([rng.permutation(own)[:num_draws], own + np.arange(wider)]))
        normal = rng.standard_normal((own + wider, size), dtype=np.float32)
        return cls(uniform, blocks, within, which, one, kinds, handed_out, normal)


def noise_of_key(rng_key: PRNGKeyArray, num_draws: int, size: int, num_uniform: int) -> BaseNoise:
    """Noise for draws of q alone, inside of a compiled program."""
    key_normal, key_uniform, key_shuffle, key_order = random.split(rng_key, 4)
    total = -(-num_draws // NUM_BLOCKS) * NUM_BLOCKS
    uniform = _stratified(random.uniform(key_uniform, (total, num_uniform)), jnp)
    others = random.permutation(key_shuffle, uniform[:, 1:], axis=0, independent=True)
    uniform = jnp.concatenate([uniform[:, :1], others], axis=1)
    order = random.permutation(key_order, total)[:num_draws]
    return BaseNoise(random.normal(key_normal, (total, size)), uniform, jnp.full(total, -1.0), order)


def _stratified(uniform: Any, numpy: Any) -> Any:
    """Of each column, one number in each of as many intervals of (0, 1), ascending; by NumPy or its twin of JAX."""
    total = uniform.shape[0]
    return numpy.clip((numpy.arange(total, dtype=numpy.float32)[:, None] + uniform) / total, 1e-7, 1.0 - 1e-7)


@functools.lru_cache(maxsize=8)
def _by_blocks(own: int, wider: int) -> tuple[Int[np.ndarray, " draw"], Int[np.ndarray, " draw"]]:
    """Which draw stands at each place, draws of q counted first, and where each draw stands.

    In each block there are some draws of q, then some wider ones.
    """
    blocks = [np.reshape(part, (NUM_BLOCKS, -1)) for part in (np.arange(own), own + np.arange(wider))]
    layout = np.concatenate(blocks, axis=1).ravel()
    return layout, np.argsort(layout).astype(np.int32)


def _wider_uniform(raw: _Raw, num_scores: int) -> np.ndarray:
    """Uniform numbers of wider draws, as many in each block of the first column as in each other.

    With one scale, half of them spread it; with several, a third spread all and a third one of them.
    """
    from scipy.special import ndtr

    uniform = (raw.blocks + raw.within) / NUM_BLOCKS
    if num_scores == 0:
        return uniform
    ends = np.array([-REACH, *(NormalDist().inv_cdf(i / NUM_BLOCKS) for i in range(1, NUM_BLOCKS)), REACH])
    spread = ndtr(ends[raw.blocks] + raw.within * (ends[raw.blocks + 1] - ends[raw.blocks]))
    one = raw.one == np.arange(uniform.shape[-1])
    chosen = ((raw.which == 1) | ((raw.which == 2) & one)) & (np.arange(uniform.shape[-1]) < num_scores)
    return np.where(chosen, spread, uniform)
