r"""C2ST: can a classifier tell the truth from a draw, given the dataset?

Each dataset gives a pair, its truth $z^*$ and one draw z of its posterior; given D, the two have one law if the
posterior is right (Lopez-Paz and Oquab 2017; Yao and Domke 2023, whose density features we use). The classifier
learns a score of (z, D) on some datasets, by logistic regression on the difference of the features within a pair, and
is asked on others which of the two is the truth. It is right in half of them if the posterior is right.

Features of z are taken relative to the other draws for D, with mean m and sd s: the residuals r = (z - m) / s, their
squares and products, which see location, scale and correlation; and $\log p(z, D) - \log q(z)$, which up to a constant
*is* the best score against q. This one sees whatever has density, a mode that q lacks too.

Datasets come in blocks, and each block is classified by what was learned on those before it. So every answer is a fair
coin given all earlier ones, and the number of right ones is exactly binomial.
"""

import dataclasses
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats
from scipy.special import expit

__all__ = ["C2st", "c2st", "features"]

BLOCKS = 5
RIDGE = 1.0  # a standard normal prior on the weight of each standardised feature
MOST_CROSSED = 20
"""Latents whose products are features, at most: 190 products."""
LARGEST = 20.0
"""Log ratios and squares may be of any size; beyond this they tell no more."""


@dataclasses.dataclass(frozen=True)
class C2st:
    """How well truths were told from draws.

    Attributes:
        accuracy: Share of datasets whose truth was found, of those asked about; 0.5 is guessing.
        error: Its standard error under guessing.
        p_value: Probability of at least this accuracy by guessing; exact.
    """

    accuracy: float
    error: float
    p_value: float


def features(
    z: Float[np.ndarray, " latent"],
    mean: Float[np.ndarray, " latent"],
    sd: Float[np.ndarray, " latent"],
    log_ratio: float,
) -> Float[np.ndarray, " feature"]:
    """What the classifier sees of one point.

    Args:
        z: The point.
        mean: Mean of the other draws for its dataset.
        sd: Their standard deviation; latents that do not vary are left out of the residuals (they are 0).
        log_ratio: Log joint - log q at the point, in nats.
    """
    residuals = np.divide(z - mean, sd, out=np.zeros(len(z)), where=sd > 0.0)
    crossed = residuals[:MOST_CROSSED]
    products = np.outer(crossed, crossed)[_pairs(len(crossed))]
    found = np.concatenate([residuals, residuals**2, products, [log_ratio]])
    return np.clip(np.nan_to_num(found, nan=0.0), -LARGEST, LARGEST)


@lru_cache(maxsize=32)
def _pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(size, k=1)


def c2st(
    true: Float[np.ndarray, "dataset feature"],
    drawn: Float[np.ndarray, "dataset feature"],
    generator: np.random.Generator,
) -> C2st:
    """Tells truths from draws, block after block.

    Args:
        true: Features of the truths, datasets in random order.
        drawn: Features of one draw for each.
        generator: Guesses where two scores are equal.
    """
    difference = true - drawn
    blocks = np.array_split(difference, BLOCKS)
    right = np.concatenate([_is_right(np.concatenate(blocks[:i]), blocks[i], generator) for i in range(1, len(blocks))])
    asked = len(right)
    p_value = float(stats.binom.sf(right.sum() - 1, asked, 0.5))
    return C2st(float(right.mean()), float(np.sqrt(0.25 / asked)), p_value)


def _is_right(learned: np.ndarray, asked: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whether the score learned on some pairs is higher at the truth of others."""
    score = asked @ _fit(learned)
    return np.where(score == 0.0, generator.random(len(score)) < 0.5, score > 0.0)


def _fit(difference: Float[np.ndarray, "dataset feature"]) -> Float[np.ndarray, " feature"]:
    """Weights a that make logistic(a . difference), the probability of the right answer, large; ridge-penalised."""
    scale = np.sqrt(np.mean(difference**2, axis=0))
    standard = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = standard @ weights
        value = np.logaddexp(0.0, -logits).sum() + RIDGE / 2.0 * weights @ weights
        return float(value), RIDGE * weights - standard.T @ expit(-logits)

    start = np.zeros(difference.shape[1])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return np.divide(found.x, scale, out=start, where=scale > 0.0)
