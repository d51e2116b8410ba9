r"""Arrows: latents of many groups that meet only through a few others.

A vector holds the latents of the groups first, the first of each group, then the second of each, and so on; then those
of the border. Each term touches the border and at most one group; so does each latent of a group. Groups are eliminated
first:

$$H = \begin{pmatrix} D & B \\ B' & A \end{pmatrix}, \quad L = \begin{pmatrix} L_D & 0 \\ C' & L_S \end{pmatrix}, \quad
  L_D L_D' = D,\ C = L_D^{-1} B,\ L_S L_S' = S = A - C'C,$$

with block-diagonal $D$: time and memory grow with the groups, not with their square. Arrays have the groups along the
last axis, so that what is done to one is done to all of them by vectors.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from posterity.informed_posterior.algebra import dense
from posterity.informed_posterior.algebra.blocks import block_cholesky, block_inverse, product, transposed

__all__ = [
    "ArrowDesign",
    "ArrowFactor",
    "ArrowPrecision",
    "ArrowSpread",
    "Design",
    "Factor",
    "Precision",
    "Spread",
    "taken",
]


class Arrow(eqx.Module):
    """Entries of a matrix of this shape.

    Attributes:
        blocks: One for each group.
        sides: Of each group with the border.
        corner: Of the border.
    """

    blocks: Float[Array, "... own own group"]
    sides: Float[Array, "... own border group"]
    corner: Float[Array, "... border border"]

    def split(self, vector: Float[Array, " latent"]) -> tuple[Float[Array, "own group"], Float[Array, " border"]]:
        """A vector's parts."""
        return _split(vector, *self.blocks.shape[1:])

    def diagonal(self) -> Float[Array, " latent"]:
        """Entries on the diagonal."""
        return _joined(jnp.stack([row[i] for i, row in enumerate(self.blocks)]), jnp.diagonal(self.corner))


Kind = TypeVar("Kind", bound=Arrow)


class ArrowPrecision(Arrow):
    """A symmetric matrix, `sides` standing for both."""

    def __add__(self, other: "ArrowPrecision") -> "ArrowPrecision":
        return ArrowPrecision(self.blocks + other.blocks, self.sides + other.sides, self.corner + other.corner)

    def __matmul__(self, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
        own, border = self.split(vector)
        from_own = product(self.blocks, own) + _from_border(self.sides, border)
        return _joined(from_own, _to_border(self.sides, own) + self.corner @ border)


class ArrowFactor(Arrow):
    r"""$L$: `blocks` hold $L_D$, `sides` $C$ and `corner` $L_S$."""


class ArrowSpread(Arrow):
    r"""$L^{-\top}$, upper-triangular with the latents of each group together."""

    def __matmul__(self, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
        own, border = self.split(vector)
        return _joined(product(self.blocks, own) + _from_border(self.sides, border), self.corner @ border)


class ArrowDesign(eqx.Module):
    """Rows that each touch one group and the border.

    Rows are held in chunks of one length, all rows of a chunk in one group, so that sums over a group's rows are
    products of small matrices.

    Attributes:
        own: Coefficients of the group's latents.
        border: Coefficients of the border.
        group: Of each chunk, ascending; None where chunk i is all of group i.
        slot: Where each term's row stands, counted through the rows of all chunks; beyond the last for terms without.
        source: Term of each row; beyond the last where there is none.
        num_groups: Groups.
    """

    own: Float[Array, "... own row chunk"]
    border: Float[Array, "... border row chunk"]
    group: Int[Array, "... chunk"] | None
    slot: Int[Array, "... term"]
    source: Int[Array, "... row chunk"]
    num_groups: int = eqx.field(static=True)

    @property
    def along_points(self) -> "ArrowDesign":
        """For `vmap` along points that differ in coefficients alone: the axis of each array."""
        return eqx.tree_at(lambda d: (d.own, d.border, d.group, d.slot, d.source), self, (0, 0, None, None, None))

    @property
    def T(self) -> "_Transposed":  # noqa: N802, as arrays have it
        """For products with what stands at the terms."""
        return _Transposed(self)

    def __matmul__(self, vectors: Float[Array, "latent *n"]) -> Float[Array, "term *n"]:
        own, border = _split(vectors, len(self.own), self.num_groups)
        own = self.of_chunks(own, 1)
        wide = (..., *[None] * (vectors.ndim - 1))
        found = sum(mine[wide] * values[None] for mine, values in zip(self.own, own, strict=True))
        return self.at_terms(found + jnp.tensordot(self.border, border, (0, 0)))

    def of_chunks(self, by_group: Float[Array, "..."], axis: int = -1) -> Float[Array, "..."]:
        """What belongs to each chunk's group, along an axis."""
        return by_group if self.group is None else jnp.take(by_group, self.group, axis=axis)

    def of_groups(self, by_chunk: Float[Array, "*n chunk"]) -> Float[Array, "*n group"]:
        """Sums over each group's chunks."""
        if self.group is None:
            return by_chunk
        zeros = jnp.zeros((*by_chunk.shape[:-1], self.num_groups), by_chunk.dtype)
        return zeros.at[..., self.group].add(by_chunk, indices_are_sorted=True)

    def at_terms(self, by_row: Float[Array, "row chunk *n"]) -> Float[Array, "term *n"]:
        """What stands at each term's row; 0 for terms without one."""
        return taken(jnp.reshape(by_row, (-1, *by_row.shape[2:])), self.slot)

    def at_rows(self, by_term: Float[Array, "term *n"]) -> Float[Array, "row chunk *n"]:
        """What stands at each row's term; 0 where there is none."""
        return taken(by_term, self.source)


class _Transposed(eqx.Module):
    """A design's transpose."""

    design: ArrowDesign

    def __matmul__(self, values: Float[Array, "term *n"]) -> Float[Array, "latent *n"]:
        design = self.design
        by_row = design.at_rows(values)
        wide = (..., *[None] * (values.ndim - 1))
        own = jnp.stack([jnp.sum(mine[wide] * by_row, axis=0) for mine in design.own])  # (own, chunk, *n)
        own = jnp.moveaxis(design.of_groups(jnp.moveaxis(own, 1, -1)), -1, 1)
        return _joined(own, jnp.tensordot(design.border, by_row, ((1, 2), (0, 1))))


if TYPE_CHECKING:  # which arithmetic goes with which is for the tests to see
    Design = Precision = Factor = Spread = Any
else:
    Design = Float[Array, "... term latent"] | ArrowDesign
    Precision = Float[Array, "... latent latent"] | ArrowPrecision
    Factor = Float[Array, "... latent latent"] | ArrowFactor
    Spread = Float[Array, "... latent latent"] | ArrowSpread


def _scaled(matrix: Kind, rows: Float[Array, " latent"], columns: Float[Array, " latent"]) -> Kind:
    """Each row and each column times a number."""
    (own, border), (across_own, across) = matrix.split(rows), matrix.split(columns)
    blocks = own[:, None] * matrix.blocks * across_own
    sides, corner = own[:, None] * matrix.sides * across[:, None], border[:, None] * matrix.corner * across
    return type(matrix)(blocks, sides, corner)


def taken(array: Float[Array, "i *n"], index: Int[Array, "*shape"]) -> Float[Array, "..."]:
    """Entries along the first axis; 0 beyond the last."""
    if not index.size or not len(array):
        return jnp.zeros((*index.shape, *array.shape[1:]), array.dtype)
    return jnp.take(array, index, axis=0, mode="fill", fill_value=0.0)


def _split(vector: Array, num_own: int, num_groups: int) -> tuple[Array, Array]:
    end = num_groups * num_own
    return jnp.reshape(vector[:end], (num_own, num_groups, *vector.shape[1:])), vector[end:]


def _joined(own: Float[Array, "own group *n"], border: Float[Array, "border *n"]) -> Float[Array, "latent *n"]:
    return jnp.concatenate([jnp.reshape(own, (-1, *own.shape[2:])), border])


def _from_border(sides: Float[Array, "own border group"], border: Float[Array, " border"]) -> Float[Array, "own group"]:
    return jnp.sum(sides * border[:, None], axis=1)


def _to_border(sides: Float[Array, "own border group"], own: Float[Array, "own group"]) -> Float[Array, " border"]:
    return sum((side @ mine for side, mine in zip(sides, own, strict=True)), jnp.zeros(()))


def _turned(sides: Float[Array, "own i group"], corner: Float[Array, "i j"]) -> Float[Array, "own j group"]:
    return jnp.stack([corner.T @ side for side in sides])


def _across(a: Float[Array, "own i group"], b: Float[Array, "own j group"]) -> Float[Array, "i j"]:
    return sum((left @ right.T for left, right in zip(a, b, strict=True)), jnp.zeros(()))


# ------------------------------------------------------------------ designs


@dense.gram.register(ArrowDesign)
def _(design: ArrowDesign, weights: Float[Array, " term"]) -> ArrowPrecision:
    by_row = design.at_rows(weights)
    weighted = design.own * by_row
    return ArrowPrecision(
        design.of_groups(_symmetric({(i, j): jnp.sum(weighted[i] * design.own[j], axis=0) for i, j in _lower(design)})),
        design.of_groups(jnp.stack([jnp.sum(own * design.border, axis=1) for own in weighted])),
        jnp.tensordot(design.border * by_row, design.border, ((1, 2), (1, 2))),
    )


def _lower(design: ArrowDesign) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(design.own)) for j in range(i + 1)]


def _symmetric(entries: dict[tuple[int, int], Array]) -> Float[Array, "i j *n"]:
    """A symmetric matrix of the entries of its lower triangle."""
    size = max(i for i, _ in entries) + 1
    return jnp.stack([jnp.stack([entries[max(i, j), min(i, j)] for j in range(size)]) for i in range(size)])


@dense.lengths.register(ArrowDesign)
def _(design: ArrowDesign) -> Float[Array, " term"]:
    return design.at_terms(
        jnp.sqrt(jnp.sum(jnp.square(design.own), axis=0) + jnp.sum(jnp.square(design.border), axis=0))
    )


@dense.rows_scaled.register(ArrowDesign)
def _(design: ArrowDesign, factors: Float[Array, " term"]) -> ArrowDesign:
    by_row = design.at_rows(factors)
    return eqx.tree_at(lambda d: (d.own, d.border), design, (design.own * by_row, design.border * by_row))


@dense.quadratic_forms.register(ArrowDesign)
def _(design: ArrowDesign, weights: Float[Array, "term c"]) -> Float[Array, "term c"]:
    def one(weights: Float[Array, " term"]) -> Float[Array, " term"]:
        matrix = dense.gram(design, weights)
        found = jnp.sum(jnp.tensordot(matrix.corner, design.border, 1) * design.border, axis=0)
        blocks, sides = design.of_chunks(matrix.blocks), design.of_chunks(matrix.sides)
        for i, own in enumerate(design.own):
            found += own * sum(other * block for other, block in zip(design.own, blocks[i], strict=True))
            found += 2.0 * own * jnp.sum(sides[i][:, None] * design.border, axis=0)
        return design.at_terms(found)

    return lax.map(one, weights.T).T


@dense.one_plus.register(ArrowDesign)
def _(design: ArrowDesign, weights: Float[Array, " term"]) -> ArrowPrecision:
    found = dense.gram(design, weights)
    return ArrowPrecision(_plus_eye(found.blocks, 1.0), found.sides, found.corner + jnp.eye(len(found.corner)))


def _plus_eye(blocks: Float[Array, "i i group"], times: float) -> Float[Array, "i i group"]:
    return blocks + times * jnp.eye(len(blocks))[:, :, None]


@dense.log_dets.register(ArrowDesign)
def _(design: ArrowDesign, weights: Float[Array, "term sample"]) -> Float[Array, " sample"]:
    """By products of two entries of each row, which all samples share."""
    num_border = len(design.border)
    own, border = jnp.moveaxis(design.own, 2, 0), jnp.moveaxis(design.border, 2, 0)  # (chunk, entry, row)
    i, j = np.tril_indices(own.shape[1])
    k, m = np.tril_indices(num_border)
    products = jnp.concatenate(
        [own[:, i] * own[:, j], *(own[:, a, None] * border for a in range(own.shape[1]))], axis=1
    )
    by_row = design.at_rows(weights)  # (row, chunk, sample)
    packed = products @ jnp.swapaxes(by_row, 0, 1)  # (chunk, product, sample)
    packed = jnp.moveaxis(design.of_groups(jnp.moveaxis(packed, 0, -1)), -1, 1)  # (product, group, sample)
    corners = jnp.tensordot(design.border[k] * design.border[m], by_row, ((1, 2), (0, 1)))  # (product, sample)
    factors = block_cholesky(_plus_eye_of(packed[: len(i)][_both_triangles(own.shape[1])]))
    sides = jnp.reshape(packed[len(i) :], (own.shape[1], num_border, *packed.shape[1:]))
    half = product(block_inverse(factors), sides)  # (own, border, group, sample)
    half = jnp.reshape(jnp.transpose(half, (3, 0, 2, 1)), (half.shape[3], -1, num_border))
    corner = jnp.moveaxis(corners[_both_triangles(num_border)], 2, 0) + jnp.eye(num_border)
    last = lax.linalg.cholesky(corner - jnp.swapaxes(half, 1, 2) @ half, symmetrize_input=False)
    from_groups = sum(jnp.sum(jnp.log(row[a]), axis=0) for a, row in enumerate(factors))
    return 2.0 * (from_groups + jnp.sum(jnp.log(jnp.diagonal(last, axis1=1, axis2=2)), axis=1))


def _plus_eye_of(blocks: Float[Array, "i i group sample"]) -> Float[Array, "i i group sample"]:
    return blocks + jnp.eye(len(blocks))[:, :, None, None]


def _both_triangles(size: int) -> Int[np.ndarray, "i j"]:
    """Where each entry of a symmetric matrix stands among those of its lower triangle."""
    i, j = np.indices((size, size))
    larger, smaller = np.maximum(i, j), np.minimum(i, j)
    return larger * (larger + 1) // 2 + smaller


# ------------------------------------------------------------------ precisions and their factors


@dense.cholesky.register(ArrowPrecision)
def _(matrix: ArrowPrecision, jitter: float | None = None) -> ArrowFactor:
    some, least = dense.rounding_of(matrix.corner.dtype)
    jitter = some if jitter is None else jitter
    size = jnp.sqrt(jnp.maximum(matrix.diagonal(), least))
    scaled = _scaled(matrix, 1.0 / size, 1.0 / size)
    blocks = block_cholesky(_plus_eye(scaled.blocks, jitter))
    sides = product(block_inverse(blocks), scaled.sides)
    # Jitter is relative to what groups leave of the border, which may be little.
    corner = dense.cholesky(scaled.corner - _across(sides, sides), jitter)
    own, border = matrix.split(size)
    return ArrowFactor(blocks * own[:, None], sides * border[:, None], corner * border[:, None])


@dense.solve.register(ArrowFactor)
def _(factor: ArrowFactor, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    return dense.coloured(factor, dense.half_solved(factor, vector))


@dense.coloured.register(ArrowFactor)
def _(factor: ArrowFactor, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    own, border = factor.split(vector)
    border = solve_triangular(factor.corner, border, lower=True, trans=1)
    inverse = transposed(block_inverse(factor.blocks))
    return _joined(product(inverse, own - _from_border(factor.sides, border)), border)


@dense.half_solved.register(ArrowFactor)
def _(factor: ArrowFactor, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    own, border = factor.split(vector)
    own = product(block_inverse(factor.blocks), own)
    return _joined(own, solve_triangular(factor.corner, border - _to_border(factor.sides, own), lower=True))


@dense.stretched.register(ArrowFactor)
def _(factor: ArrowFactor, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    own, border = factor.split(vector)
    return _joined(
        product(transposed(factor.blocks), own) + _from_border(factor.sides, border), factor.corner.T @ border
    )


@dense.log_diagonal.register(ArrowFactor)
def _(factor: ArrowFactor) -> Float[Array, " latent"]:
    return jnp.log(factor.diagonal())


@dense.spread_of.register(ArrowFactor)
def _(factor: ArrowFactor) -> ArrowSpread:
    blocks = transposed(block_inverse(factor.blocks))
    corner = dense.spread_of(factor.corner)
    return ArrowSpread(blocks, -product(blocks, _turned(factor.sides, corner)), corner)


@dense.whiten.register(ArrowFactor)
def _(factor: ArrowFactor, design: ArrowDesign) -> ArrowDesign:
    spread = dense.spread_of(factor)
    blocks, sides = design.of_chunks(spread.blocks), design.of_chunks(spread.sides)
    own = [sum(mine * block for mine, block in zip(design.own, column, strict=True)) for column in transposed(blocks)]
    border = jnp.tensordot(spread.corner, design.border, (0, 0))
    border += sum(mine * side[:, None] for mine, side in zip(design.own, sides, strict=True))
    return eqx.tree_at(lambda d: (d.own, d.border), design, (jnp.stack(own), border))


@dense.trace.register(ArrowFactor)
def _(factor: ArrowFactor, matrix: ArrowPrecision) -> Float[Array, ""]:
    spread = dense.spread_of(factor)
    blocks, sides, corner = spread.blocks, spread.sides, spread.corner
    own = jnp.sum(blocks * product(matrix.blocks, blocks))
    # Columns of the border: what the matrix makes of them, in the groups and in the border.
    in_groups = product(matrix.blocks, sides) + _turned(matrix.sides, corner)
    in_border = _across(matrix.sides, sides) + matrix.corner @ corner
    return own + jnp.sum(sides * in_groups) + jnp.sum(corner * in_border)


# ------------------------------------------------------------------ spreads


@dense.lengths.register(ArrowSpread)
def _(spread: ArrowSpread) -> Float[Array, " latent"]:
    own = jnp.sum(jnp.square(spread.blocks), axis=1) + jnp.sum(jnp.square(spread.sides), axis=1)
    return jnp.sqrt(_joined(own, jnp.sum(jnp.square(spread.corner), axis=1)))


@dense.as_shape.register(ArrowSpread)
def _(spread: ArrowSpread) -> tuple[Float[Array, " latent"], Float[Array, " latent"], ArrowSpread]:
    sds = dense.lengths(spread)
    widths = spread.diagonal() / sds
    return sds, widths, _scaled(spread, 1.0 / sds, 1.0 / widths)


@dense.shape_solved.register(ArrowSpread)
def _(shape: ArrowSpread, vector: Float[Array, " latent"]) -> Float[Array, " latent"]:
    own, border = shape.split(vector)
    border = dense.shape_solved(shape.corner, border)
    inverse = transposed(block_inverse(transposed(shape.blocks)))
    return _joined(product(inverse, own - _from_border(shape.sides, border)), border)
