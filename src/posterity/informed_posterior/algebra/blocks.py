"""Many small matrices, along trailing axes: written out, so that each entry is a vector over all of them."""

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

__all__ = ["block_cholesky", "block_inverse", "product", "transposed"]

MOST_WRITTEN_OUT = 6


def product(a: Float[Array, "i j *batch"], b: Float[Array, "j *rest"]) -> Float[Array, "i *more"]:
    """Matrix products; `b` may have a second axis of its own before the batch's."""
    if b.ndim > a.ndim - 1:
        a = jnp.expand_dims(a, 2)
    if a.shape[1] > MOST_WRITTEN_OUT:
        return jnp.sum(a * b[None], axis=1)
    return sum((a[:, j] * b[j] for j in range(1, a.shape[1])), a[:, 0] * b[0])


def transposed(blocks: Float[Array, "i j *batch"]) -> Float[Array, "j i *batch"]:
    """Transposes."""
    return jnp.swapaxes(blocks, 0, 1)


def block_cholesky(blocks: Float[Array, "q q *batch"]) -> Float[Array, "q q *batch"]:
    """Lower-triangular factors; NaN where a matrix is not positive definite."""
    size = len(blocks)
    if size > MOST_WRITTEN_OUT:
        return _matrices_first(jnp.linalg.cholesky(_matrices_last(blocks)))
    found: dict[tuple[int, int], Array] = {}
    for i in range(size):
        for j in range(i + 1):
            left = blocks[i, j]
            for k in range(j):
                left -= found[i, k] * found[j, k]
            found[i, j] = jnp.sqrt(left) if i == j else left / found[j, j]
    return _stacked(found, blocks)


def block_inverse(factors: Float[Array, "q q *batch"]) -> Float[Array, "q q *batch"]:
    """Inverses of lower-triangular matrices."""
    size = len(factors)
    if size > MOST_WRITTEN_OUT:
        last = _matrices_last(factors)
        return _matrices_first(solve_triangular(last, jnp.broadcast_to(jnp.eye(size), last.shape), lower=True))
    found: dict[tuple[int, int], Array] = {}
    for i in range(size):
        found[i, i] = 1.0 / factors[i, i]
        for j in range(i):
            found[i, j] = -found[i, i] * sum(factors[i, k] * found[k, j] for k in range(j, i))
    return _stacked(found, factors)


def _matrices_last(blocks: Array) -> Array:
    return jnp.moveaxis(blocks, (0, 1), (-2, -1))


def _matrices_first(blocks: Array) -> Array:
    return jnp.moveaxis(blocks, (-2, -1), (0, 1))


def _stacked(entries: dict[tuple[int, int], Array], like: Array) -> Float[Array, "q q *batch"]:
    zero = jnp.zeros(like.shape[2:], like.dtype)
    return jnp.stack([jnp.stack([entries.get((i, j), zero) for j in range(len(like))]) for i in range(len(like))])
