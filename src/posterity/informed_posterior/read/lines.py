"""What the row network needs to know of a log joint: along which lines it bends."""

import equinox as eqx
from jaxtyping import Array, Bool

from posterity.informed_posterior.algebra.arrow import Design

__all__ = ["Lines"]


class Lines(eqx.Module):
    r"""Functions of one number each, $\eta_i = J_i z$ up to a constant, that make a log joint non-Gaussian.

    Attributes:
        design: $J$; zero at masked latents.
        active: False for those of padded rows and masked latents: they count nothing.
        is_prior: True for those that belong to the prior.
        mask: True for the latents that the dataset has.
    """

    design: Design
    active: Bool[Array, " term"]
    is_prior: Bool[Array, " term"]
    mask: Bool[Array, " latent"]
