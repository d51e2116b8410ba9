r"""Ordered categories: $P(y_i \le k) = \text{logit}^{-1}(c_k - \eta_i)$ with free cutpoints $c_1 < c_2 < \dots$."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="ordinal",
    summary="ordered categories, cumulative logit",
    response="ordered",
    likelihood="dist.OrderedLogistic(eta, cutpoints)",
    location="cutpoints",
)
