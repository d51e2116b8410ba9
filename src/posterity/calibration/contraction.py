r"""How much was learned about each latent, and whether in the right place (Schad, Betancourt and Vasishth 2021).

$$\text{z-score} = \frac{E[\theta \mid D] - \theta^*}{\mathrm{sd}[\theta \mid D]}, \qquad
\text{contraction} = 1 - \frac{\mathrm{var}[\theta \mid D]}{\mathrm{var}[\theta]}.$$

For the exact posterior the squared z-score has mean 1 in every model: its mean given D is the posterior variance over
itself. Above 1 the posterior is too narrow or misplaced, below 1 too wide. A contraction near 0 says that the data
tell nothing about this latent.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["contraction", "z_score"]

Scalars = Float[np.ndarray, "dataset latent"]


def z_score(true: Scalars, mean: Scalars, sd: Scalars) -> Scalars:
    """Posterior mean minus truth in posterior sds; NaN where the draws do not vary."""
    return (mean - true) / np.where(sd > 0.0, sd, np.nan)


def contraction(sd: Scalars, prior_sd: Float[np.ndarray, " latent"]) -> Scalars:
    """Share of the prior variance that the data took away: 1 at most, below 0 where the posterior is wider."""
    return 1.0 - np.square(sd / np.where(prior_sd > 0.0, prior_sd, np.nan))
