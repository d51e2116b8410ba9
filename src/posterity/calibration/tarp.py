r"""TARP: coverage of regions around random points, for all latents together (Lemos et al. 2023).

Let r be a random point that knows nothing of $z^*$ beyond D. The region $\{z : |z - r| \le |z^* - r|\}$ has some
posterior probability; over many (z*, D) that probability is uniform if the draws are right. It is the rank of the
scalar $f(z) = |z - r|$, so `ranks` and `uniformity` judge it like any latent, with the same false-alarm rate. The
curve of expected coverage over credibility is the empirical distribution function of these ranks, with standard error
$\sqrt{\alpha (1 - \alpha) / N}$ at credibility $\alpha$.

References are draws of the prior, as in the paper's experiments. Far from the posterior, distances to them are
projections in a random direction, which see correlations that no single latent shows. They do not see a q that is the
prior itself: nothing of r depends on D. The rank of the log joint does (Modrák et al. 2023).
"""

import numpy as np
from jaxtyping import Float

__all__ = ["reference_distances", "spread"]


def reference_distances(
    z: Float[np.ndarray, "point latent"], reference: Float[np.ndarray, " latent"], scale: Float[np.ndarray, " latent"]
) -> Float[np.ndarray, " point"]:
    """Euclidean distances of points to a reference, in units of `scale` along each axis.

    Args:
        z: Unconstrained points.
        reference: Where distances count from.
        scale: Above 0; must not depend on the truth.
    """
    return np.linalg.norm((z - reference) / scale, axis=1)


def spread(z: Float[np.ndarray, "point latent"]) -> Float[np.ndarray, " latent"]:
    """Half the range of the middle 68% along each axis, the sd of a normal; 1 where it is 0."""
    low, high = np.quantile(z, [0.16, 0.84], axis=0)
    return np.where(high > low, (high - low) / 2.0, 1.0)
