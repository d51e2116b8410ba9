"""Families of responses; a new one is a file with an entry and a line in this table."""

from posterity.model.formula.families import (
    bernoulli,
    beta,
    binomial,
    categorical,
    gamma,
    negative_binomial,
    normal,
    ordinal,
    poisson,
    student_t,
)
from posterity.model.formula.family import ResponseFamily

__all__ = ["RESPONSE_FAMILIES"]

RESPONSE_FAMILIES: dict[str, ResponseFamily] = {
    entry.name: entry
    for entry in (
        normal.ENTRY,
        student_t.ENTRY,
        bernoulli.ENTRY,
        binomial.ENTRY,
        poisson.ENTRY,
        negative_binomial.ENTRY,
        gamma.ENTRY,
        beta.ENTRY,
        ordinal.ENTRY,
        categorical.ENTRY,
    )
}
