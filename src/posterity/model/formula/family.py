"""What a family of responses is: its likelihood as NumPyro, its own latents, and the priors that it starts with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ResponseFamily"]


@dataclass(frozen=True)
class ResponseFamily:
    """A family of responses, given a predictor eta; one file and one line in `RESPONSE_FAMILIES` make a new one.

    Attributes:
        name: Its name.
        summary: One line for people.
        response: Kind of values, a key of `posterity.tables.formula.response.RESPONSE_KINDS`.
        likelihood: Expression for the distribution of the rows; sees `eta`, its own latents, and what it `takes`.
        weighted: The same with `weights`, which divide the dispersion; None where it has none.
        own: Latents of its own, all positive -> default prior.
        in_target_units: Those that are scales of the response.
        standardized: The response is z-scored, so that priors know its scale.
        location: `intercept`; `cutpoints`, in its place; or `classes`, one predictor for each beyond the first.
        log_link: eta is a log mean: the intercept's prior is centred at the log of the mean response.
        sd: Default prior of the sds of effects that vary by group.
        takes: Arguments of the program that it can do with besides: `offset`, `trials`, `weights`.
    """

    name: str
    summary: str
    response: str
    likelihood: str
    weighted: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    in_target_units: tuple[str, ...] = ()
    standardized: bool = False
    location: Literal["intercept", "cutpoints", "classes"] = "intercept"
    log_link: bool = False
    sd: str = "HalfNormal(2)"
    takes: tuple[str, ...] = ("offset",)
