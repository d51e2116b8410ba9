r"""Positive response of mean $\mu_i = e^{\eta_i}$ and sd $\mu_i / \sqrt{\alpha}$.

$\alpha$ is the `shape`; with weights it is $w_i \alpha$.
"""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="gamma",
    summary="positive response, log link",
    response="positive",
    likelihood="dist.Gamma(shape, shape * jnp.exp(-eta))",
    weighted="dist.Gamma(shape * weights, shape * weights * jnp.exp(-eta))",
    own={"shape": "LogNormal(0, 1.5)"},
    log_link=True,
    takes=("offset", "weights"),
)
