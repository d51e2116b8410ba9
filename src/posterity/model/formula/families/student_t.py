r"""$y_i \sim t_\nu(\eta_i, \sigma)$: outliers weigh little. $y$ is z-scored; with weights, $\sigma / \sqrt{w_i}$.

The prior of $\nu$ is that of Juárez and Steel (2010): from Cauchy to normal, little below 2.
"""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="student_t",
    summary="real response with outliers, identity link",
    response="real",
    likelihood="dist.StudentT(nu, eta, sigma)",
    weighted="dist.StudentT(nu, eta, sigma / jnp.sqrt(weights))",
    own={"sigma": "HalfNormal(1)", "nu": "Gamma(2, 0.1)"},
    in_target_units=("sigma",),
    standardized=True,
    sd="HalfNormal(1)",
    takes=("offset", "weights"),
)
