r"""$y_i \sim \text{Bernoulli}(\text{logit}^{-1} \eta_i)$."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="bernoulli", summary="two values, logit link", response="binary", likelihood="dist.Bernoulli(logits=eta)"
)
