"""One scalar latent as the figures show it."""

import dataclasses

import numpy as np

__all__ = ["Latent"]


@dataclasses.dataclass(frozen=True, eq=False)
class Latent:
    """One scalar latent.

    Attributes:
        label: Such as `w[bmi]`.
        site: Its site.
        posterior: Finite draws of equal weight, shape `(draw,)`.
        prior: Finite draws of the prior, shape `(draw,)`; none where it is improper.
        is_finite: Whether no draw of the posterior had to be left out.
        support: Where there may be values at all.
    """

    label: str
    site: str
    posterior: np.ndarray
    prior: np.ndarray
    is_finite: bool
    support: tuple[float, float] = (-np.inf, np.inf)

    @property
    def is_shown(self) -> bool:
        """Whether there is something to draw: some finite draws of the posterior."""
        return len(self.posterior) > 1
