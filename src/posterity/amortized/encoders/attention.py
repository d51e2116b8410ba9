"""Attention over the real rows: the formula, and the residual block that attending encoders are made of."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from posterity.amortized.encoders.layers import FeedForward, affine, normalise
from posterity.runtime.errors import InputError

__all__ = ["AttentionBlock", "attend"]


def attend(
    query: Float[Array, "*batch query head_size"],
    key: Float[Array, "*batch obs head_size"],
    value: Float[Array, "*batch obs head_size"],
    mask: Bool[Array, "*batch obs"],
) -> Float[Array, "*batch query head_size"]:
    r"""One head of attention, $\mathrm{softmax}(Q K' / \sqrt{d}) V$ over the keys whose mask is True.

    The softmax's total divides the result, which is smaller than the matrix of weights: forward and backward
    of two heads of width 32 take 13 ms instead of 35 on one core (64 datasets of 129 rows).

    Returns:
        Weighted averages of the values, one per query; zeros when no key is real.
    """
    logits = jnp.einsum("...qd,...kd->...qk", query / math.sqrt(query.shape[-1]), key)
    logits = logits + jnp.where(mask, 0.0, -1e30)[..., None, :]
    # The largest logit cancels out: it only keeps the exp in range.
    largest = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True, initial=-1e30))
    weights = jnp.exp(logits - largest)
    total = jnp.sum(weights, axis=-1, keepdims=True)  # at least 1, unless there is no key at all
    average = (weights @ value) / jnp.where(total > 0.0, total, 1.0)
    return jnp.where(jnp.any(mask, axis=-1)[..., None, None], average, 0.0)


class AttentionBlock(eqx.Module):
    """Multi-head attention and a feed-forward network, both pre-norm and residual.

    Without `memory` it is a layer of the Transformer; with it, the "multihead attention block" of the Set
    Transformer.
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    out: eqx.nn.Linear
    feed_forward: FeedForward
    num_heads: int = eqx.field(static=True)

    def __init__(self, width: int, num_heads: int, hidden_size: int, *, key: PRNGKeyArray):
        """Weights of the block.

        Args:
            width: Size of a token, a multiple of `num_heads`.
            num_heads: Heads share the width; on CPU the time grows with their number.
            hidden_size: ReLU units of the feed-forward network.
            key: Consumed for the initial weights.
        """
        if width % num_heads:
            raise InputError(f"attention: `width` must be a multiple of `num_heads`, got {width} and {num_heads}.")
        keys = random.split(key, 5)
        # A bias of the keys would add the same number to every logit of a query: no effect, no gradient.
        self.query, self.key, self.value = (eqx.nn.Linear(width, width, use_bias=False, key=each) for each in keys[:3])
        self.out = eqx.nn.Linear(width, width, key=keys[3])
        self.feed_forward = FeedForward(width, hidden_size, key=keys[4])
        self.num_heads = num_heads

    def __call__(
        self,
        tokens: Float[Array, "*batch query width"],
        mask: Bool[Array, "*batch obs"],
        memory: Float[Array, "*batch obs width"] | None = None,
    ) -> Float[Array, "*batch query width"]:
        """Tokens after they have looked at the memory.

        Args:
            tokens: Those who ask.
            mask: True where an entry of the memory is real.
            memory: Those who answer; None for the tokens themselves.
        """
        asking = normalise(tokens)
        source = asking if memory is None else normalise(memory)
        heads = zip(
            self._split(affine(self.query, asking)),
            self._split(affine(self.key, source)),
            self._split(affine(self.value, source)),
            strict=True,
        )
        # Slices, since a head as an axis means a transposed copy of queries, keys and values, forward and backward.
        answers = [attend(query, key, value, mask) for query, key, value in heads]
        tokens = tokens + affine(self.out, jnp.concatenate(answers, axis=-1))
        return self.feed_forward(tokens)

    def _split(self, values: Float[Array, "*batch rows width"]) -> list[Float[Array, "*batch rows head_size"]]:
        """The share of each head."""
        return jnp.split(values, self.num_heads, axis=-1)
