r"""$y_i \sim \text{Poisson}(e^{\eta_i})$."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="poisson", summary="counts, log link", response="count", likelihood="dist.Poisson(jnp.exp(eta))", log_link=True
)
