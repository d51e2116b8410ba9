r"""Classes without order: softmax of $(0, \eta_{i1}, \eta_{i2}, \dots)$; the first class is the one of comparison."""

from posterity.model.formula.family import ResponseFamily

__all__ = ["ENTRY"]

ENTRY = ResponseFamily(
    name="categorical",
    summary="classes, softmax link",
    response="class",
    likelihood="dist.Categorical(logits=jnp.pad(eta, ((0, 0), (1, 0))))",
    location="classes",
    takes=(),
)
