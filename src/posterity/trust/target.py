"""What samplers aim at: a density over unconstrained latents, known up to a constant."""

import abc

import equinox as eqx
from jaxtyping import Array, Bool, Float

from posterity.model.dataset import Dataset
from posterity.model.model import Model

__all__ = ["AbstractTarget", "Target"]


class AbstractTarget(eqx.Module):
    """A density that many chains can sample.

    Attributes:
        mask: True for active latents; the density does not depend on the others.
    """

    mask: eqx.AbstractVar[Bool[Array, " latent"]]

    @abc.abstractmethod
    def log_density(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Up to a constant, in nats; may be NaN where there is none."""


class Target(AbstractTarget):
    r"""The posterior of one dataset, $p(z, D)$ up to the evidence.

    Attributes:
        model: The model.
        dataset: Padded dataset.
        mask: True for active latents.
    """

    model: Model = eqx.field(static=True)
    dataset: Dataset
    mask: Bool[Array, " latent"]

    def __init__(self, model: Model, dataset: Dataset):
        """The target of one dataset.

        Args:
            model: The model.
            dataset: Padded dataset.
        """
        self.model = model
        self.dataset = dataset
        self.mask = model.space.mask(dataset.plate_masks)

    def log_density(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log joint, in nats."""
        return self.model.log_joint(z, self.dataset)
