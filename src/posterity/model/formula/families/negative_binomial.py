r"""Counts of mean $\mu_i = e^{\eta_i}$ and variance $\mu_i + \mu_i^2 / \phi$, with $\phi$ the `concentration`."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="negative_binomial",
    summary="overdispersed counts, log link",
    response="count",
    likelihood="dist.NegativeBinomial2(jnp.exp(eta), concentration)",
    own={"concentration": "LogNormal(0, 1.5)"},
    log_link=True,
)
