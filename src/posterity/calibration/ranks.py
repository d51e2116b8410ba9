r"""Where the truth stands among weighted draws: its rank, as a number that is uniform if the draws are right.

Let $z^*, D$ come from the joint, $z_s$ be draws for D with normalised weights $w_s$, and f any scalar of them. Then

$$u = \frac{\sum_s w_s 1[f(z_s) < f(z^*)] + U \, (\sum_s w_s 1[f(z_s) = f(z^*)] + w_*)}{1 + w_*},
\qquad w_* = \sum_s w_s^2, \quad U \sim U(0, 1).$$

For equal weights $w_* = 1/S$ and u is the rank (Talts et al. 2018), spread evenly over its bin and over ties: exactly
uniform if q is the posterior. (Ties matter: a Cholesky factor of correlations holds a 1 in every draw.)

For importance weights, $w_*$ stands for the weight of the truth itself. With its own ratio $p(z^*, D) / q(z^*)$ there,
u would be exactly uniform for *any* q: given all S + 1 points, the truth is each of them in proportion to its weight.
Such a test cannot see a bad q at all. Its mean over the weighted draws, $\sum_s w_s^2 = 1 / \mathrm{ESS}$, knows
nothing of the truth: then u is uniform as far as the weighted draws stand for the posterior, to the order of 1 / ESS.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["weighted_ranks"]


def weighted_ranks(
    true: Float[np.ndarray, " scalar"],
    draws: Float[np.ndarray, "draw scalar"],
    weights: Float[np.ndarray, " draw"],
    generator: np.random.Generator,
) -> Float[np.ndarray, " scalar"]:
    """Normalised rank u in [0, 1] of each true scalar among its draws; see the module.

    Args:
        true: Scalars of the truth.
        draws: The same scalars of the draws. A NaN counts as larger than the truth.
        weights: Not negative, of sum 1.
        generator: Draws U, one for each scalar.
    """
    own = float(weights @ weights)
    below, equal = weights @ (draws < true), weights @ (draws == true)
    return np.clip((below + generator.random(true.shape) * (equal + own)) / (1.0 + own), 0.0, 1.0)
