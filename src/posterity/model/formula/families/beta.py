r"""Proportions of mean $\mu_i = \text{logit}^{-1} \eta_i$ and variance $\mu_i (1 - \mu_i) / (1 + \phi)$.

$\phi$ is the `precision`.
"""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="beta",
    summary="proportions between 0 and 1, logit link",
    response="proportion",
    # 1 - sigmoid(eta) would be 0 in 32 bits where eta is large.
    likelihood="dist.Beta(precision * jax.nn.sigmoid(eta), precision * jax.nn.sigmoid(-eta))",
    own={"precision": "LogNormal(2, 1.5)"},
)
