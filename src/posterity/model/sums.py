r"""A few rows that have the sums of many: what is quadratic in every row of data cannot tell one from the other.

A log likelihood $\sum_i f(u_i)$ with $f$ quadratic in the row $u \in R^d$ depends on them through $n$, $\sum u_i$ and
$\sum u_i u_i'$ alone. So do $d + 1$ rows that weigh $n / (d + 1)$ each,

$$\tilde u_j = \bar u + R' t_j / \sqrt n, \qquad R' R = \sum_i (u_i - \bar u)(u_i - \bar u)',$$

with $t_j$ the corners of a regular simplex, $\sum_j t_j = 0$ and $\sum_j t_j t_j' = (d + 1) I$. $R$ is had by a QR
factorisation, which keeps what a column adds to the others however little it is; squares of the rows would not.
"""

import functools

import numpy as np
from jaxtyping import Float, Int

__all__ = ["same_sums"]


def same_sums(
    rows: Float[np.ndarray, "dataset row column"], counts: Int[np.ndarray, " dataset"]
) -> tuple[Float[np.ndarray, "dataset corner column"], Float[np.ndarray, " dataset"]]:
    """Rows of the same sums, one more than there are columns, and what each of them weighs.

    Args:
        rows: Of each dataset, in 64 bits; more of them than columns, the last of which may be padding.
        counts: How many are real; more than there are columns.
    """
    width = rows.shape[2]
    is_real = np.arange(rows.shape[1])[:, None] < counts[:, None, None]
    number = counts[:, None, None].astype(float)
    mean = np.sum(rows, axis=1, keepdims=True, where=is_real) / number
    root = np.linalg.qr(np.where(is_real, rows - mean, 0.0), mode="r")
    return mean + _corners(width) @ root / np.sqrt(number), counts / (width + 1)


@functools.cache
def _corners(width: int) -> Float[np.ndarray, "corner column"]:
    """Corners of a regular simplex around 0 in so many dimensions: Helmert's contrasts."""
    number = np.arange(1, width + 1)
    contrasts = np.where(np.arange(width + 1) < number[:, None], 1.0, 0.0)
    contrasts[number - 1, number] = -number
    return np.sqrt((width + 1) / (number * (number + 1.0))) * contrasts.T
