r"""$y_i \sim \text{Binomial}(n_i, \text{logit}^{-1} \eta_i)$, with the trials $n_i$ of each row."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="binomial",
    summary="successes out of trials, logit link",
    response="count",
    likelihood="dist.Binomial(trials, logits=eta)",
    takes=("offset", "trials"),
)
