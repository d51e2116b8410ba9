r"""$y_i \sim N(\eta_i, \sigma^2)$; with weights, $N(\eta_i, \sigma^2 / w_i)$. $y$ is z-scored."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="normal",
    summary="real response, identity link",
    response="real",
    likelihood="dist.Normal(eta, sigma)",
    weighted="dist.Normal(eta, sigma / jnp.sqrt(weights))",
    own={"sigma": "HalfNormal(1)"},
    in_target_units=("sigma",),
    standardized=True,
    sd="HalfNormal(1)",
    takes=("offset", "weights"),
)
