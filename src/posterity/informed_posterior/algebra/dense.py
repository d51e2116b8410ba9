r"""What anchors ask of a design $J$ (terms by latents), of a precision $H$ and of its factor $L$, $L L' = H$.

Here for dense arrays; `arrow` registers the same for designs and matrices that are mostly zero. Both kinds are
multiplied by `@`, precisions are added by `+`, and a design's `.T` takes what stands at the terms.
"""

from functools import singledispatch
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

__all__ = [
    "as_shape",
    "cholesky",
    "coloured",
    "gaussian",
    "gram",
    "half_solved",
    "lengths",
    "log_dets",
    "log_diagonal",
    "one_plus",
    "quadratic_forms",
    "rounding_of",
    "rows_scaled",
    "shape_solved",
    "solve",
    "spread_of",
    "stretched",
    "trace",
    "whiten",
]

JITTER, JITTER_DOUBLE = 1e-6, 1e-13  # relative to the diagonal
NUM_REFINED = 2  # times that the solution of a linear system is put right
SMALL = 8  # up to this many latents, log-dets are written out


# ------------------------------------------------------------------ designs


@singledispatch
def gram(design: Float[Array, "term latent"], weights: Float[Array, " term"]) -> Any:
    r"""$J' \mathrm{diag}(w) J$."""
    return (design.T * weights) @ design


@singledispatch
def lengths(design: Float[Array, "term latent"]) -> Float[Array, " term"]:
    """Norm of each row."""
    return jnp.sqrt(jnp.sum(jnp.square(design), axis=1))


@singledispatch
def rows_scaled(design: Float[Array, "term latent"], factors: Float[Array, " term"]) -> Any:
    """Each row times a number."""
    return design * factors[:, None]


@singledispatch
def quadratic_forms(design: Float[Array, "term latent"], weights: Float[Array, "term c"]) -> Float[Array, "term c"]:
    r"""$j_i' M_c j_i$ with $M_c = \sum_l w_{lc} j_l j_l'$."""
    matrices = jnp.einsum("ic,ij,ik->cjk", weights, design, design)
    return jnp.einsum("cjk,ij,ik->ic", matrices, design, design)


@singledispatch
def one_plus(design: Float[Array, "term latent"], weights: Float[Array, " term"]) -> Any:
    r"""$I + J' \mathrm{diag}(w) J$."""
    return jnp.eye(design.shape[1]) + gram(design, weights)


@singledispatch
def log_dets(design: Float[Array, "term latent"], weights: Float[Array, "term sample"]) -> Float[Array, " sample"]:
    r"""$\log\det(I + J' \mathrm{diag}(w) J)$ for many weights at once."""
    size = design.shape[1]
    rows, columns = np.tril_indices(size)
    # Lower triangles: one product over terms makes all of them.
    packed = (design[:, rows] * design[:, columns]).T @ weights + (rows == columns).astype(np.float32)[:, None]
    if size <= SMALL:
        return _small_log_det(dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), packed, strict=True)), size)
    # Both triangles: the derivative of the factorisation reads the whole matrix, though its value does not.
    i, j = np.indices((size, size))
    larger, smaller = np.maximum(i, j), np.minimum(i, j)
    whole = packed[larger * (larger + 1) // 2 + smaller]
    factors = lax.linalg.cholesky(jnp.moveaxis(whole, 2, 0), symmetrize_input=False)
    return 2.0 * jnp.sum(jnp.log(jnp.diagonal(factors, axis1=1, axis2=2)), axis=1)


def _small_log_det(entries: dict[tuple[int, int], Float[Array, " sample"]], size: int) -> Float[Array, " sample"]:
    """Log-dets of positive definite matrices by elimination; entries of their lower triangles, samples along arrays.

    Factorising many small matrices one after the other costs several times as much.
    """
    found = jnp.zeros(())
    for k in range(size):
        found += jnp.log(entries[k, k])
        for i in range(k + 1, size):
            share = entries[i, k] / entries[k, k]
            entries |= {(i, j): entries[i, j] - share * entries[j, k] for j in range(k + 1, i + 1)}
    return found


# ------------------------------------------------------------------ precisions and their factors


@singledispatch
def cholesky(matrix: Float[Array, "latent latent"], jitter: float | None = None) -> Any:
    """Factor of a positive semi-definite matrix, equilibrated and with a trace of jitter."""
    some, least = rounding_of(matrix.dtype)
    size = jnp.sqrt(jnp.maximum(jnp.diagonal(matrix), least))
    scaled = matrix / size[:, None] / size[None, :]
    return size[:, None] * jnp.linalg.cholesky(scaled + (some if jitter is None else jitter) * jnp.eye(len(matrix)))


def rounding_of(dtype: Any) -> tuple[float, float]:
    """Jitter, relative to the diagonal, and the least entry of a diagonal that is told from 0."""
    return (JITTER_DOUBLE, 1e-200) if dtype == np.float64 else (JITTER, 1e-30)


@singledispatch
def solve(factor: Float[Array, "latent latent"], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    r"""$H^{-1} v$."""
    return cho_solve((factor, True), vector)


def gaussian(precision: Any, linear: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Any]:
    r"""Mean $\Lambda^{-1} \lambda$ and lower-triangular factor $L$, $L L' = \Lambda$, of $N^{-1}(\lambda, \Lambda)$."""
    factor = cholesky(precision)
    loc = solve(factor, linear)
    for _ in range(NUM_REFINED):
        loc += solve(factor, linear - precision @ loc)
    return loc, factor


@singledispatch
def half_solved(factor: Float[Array, "latent latent"], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    r"""$L^{-1} v$."""
    return solve_triangular(factor, vector, lower=True)


@singledispatch
def coloured(factor: Float[Array, "latent latent"], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    r"""$L^{-\top} v$."""
    return solve_triangular(factor, vector, lower=True, trans="T")


@singledispatch
def stretched(factor: Float[Array, "latent latent"], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    r"""$L' v$."""
    return factor.T @ vector


@singledispatch
def log_diagonal(factor: Float[Array, "latent latent"]) -> Float[Array, " latent"]:
    r"""$\log L_{jj}$, twice whose sum is $\log\det H$."""
    return jnp.log(jnp.diagonal(factor))


@singledispatch
def spread_of(factor: Float[Array, "latent latent"]) -> Any:
    r"""$L^{-\top}$, upper-triangular: what gives standard normal noise the covariance $H^{-1}$."""
    return solve_triangular(factor, jnp.eye(factor.shape[0]), lower=True).T


@singledispatch
def whiten(factor: Float[Array, "latent latent"], design: Float[Array, "n latent"]) -> Any:
    r"""$L^{-1} v$ for every row `v` of a design."""
    return design @ spread_of(factor)


@singledispatch
def trace(factor: Float[Array, "latent latent"], matrix: Float[Array, "latent latent"]) -> Float[Array, ""]:
    r"""Trace of $H^{-1} M$."""
    spread = spread_of(factor)
    return jnp.sum(spread * (matrix @ spread))


# ------------------------------------------------------------------ spreads


@singledispatch
def as_shape(
    spread: Float[Array, "latent latent"],
) -> tuple[Float[Array, " latent"], Float[Array, " latent"], Any]:
    r"""Standard deviations $\sigma$, widths $d$ and unit upper-triangular $U$ of $L^{-\top} = \sigma \circ U d$."""
    sds = jnp.sqrt(jnp.sum(jnp.square(spread), axis=1))
    rows = spread / sds[:, None]
    widths = jnp.diagonal(rows)
    return sds, widths, rows / widths


@singledispatch
def shape_solved(shape: Float[Array, "latent latent"], vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    r"""$U^{-1} v$."""
    return solve_triangular(shape, vector, lower=False, unit_diagonal=True)
