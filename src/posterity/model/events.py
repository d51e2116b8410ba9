"""Event axes that vary: entries of a row that a distribution takes together, left out inside it."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Bool
from numpyro.distributions import Distribution, ExpandedDistribution, Independent, MixtureGeneral, MixtureSameFamily
from numpyro.primitives import Messenger

from posterity.runtime.errors import InputError

__all__ = ["MaskEvents", "mask_events"]

Mask = Bool[Array, "*event"]


class MaskEvents(Messenger):
    """Observed sites see only the entries of their events that a dataset has.

    Args:
        model: The NumPyro model.
        where: Start of an error message.
        masks: Observed site -> True for the entries of an event that count.
    """

    def __init__(self, model: Any, where: str, masks: Mapping[str, Mask]):
        super().__init__(model)
        self.where, self.masks = where, masks

    def process_message(self, msg: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Masks the distribution of an observed site."""
        if msg["type"] == "sample" and msg["is_observed"] and msg["name"] in self.masks:
            try:
                msg["fn"] = mask_events(msg["fn"], self.masks[msg["name"]])
            except TypeError as error:
                raise InputError(
                    f"{self.where}: the events of observed site '{msg['name']}' vary in size, but {error}. Give it "
                    "independent entries, with to_event, or a mixture of such; or a plate of one size"
                ) from error


def mask_events(distribution: Distribution, mask: Mask) -> Distribution:
    """The distribution of the entries that count alone; the others add 0 to its log density, whatever stands there.

    Independent entries can be left out one by one, within the components of a mixture too, which is where it
    matters: there each component has its own density of the entries that are left.

    Args:
        distribution: Independent entries (`to_event`), or a mixture of such.
        mask: One value for each entry of an event; it broadcasts.

    Raises:
        TypeError: The entries of another distribution cannot be told apart.
    """
    if isinstance(distribution, ExpandedDistribution):
        return mask_events(distribution.base_dist, mask).expand(distribution.batch_shape)
    if isinstance(distribution, Independent):
        base = distribution.base_dist
        masked = mask_events(base, mask) if base.event_dim else base.mask(mask)
        return masked.to_event(distribution.reinterpreted_batch_ndims)
    if isinstance(distribution, MixtureSameFamily):
        components = mask_events(distribution.component_distribution, mask)
        return MixtureSameFamily(distribution.mixing_distribution, components)
    if isinstance(distribution, MixtureGeneral):
        components = [mask_events(component, mask) for component in distribution.component_distributions]
        return MixtureGeneral(distribution.mixing_distribution, components, support=distribution.support)
    raise TypeError(f"the entries of {type(distribution).__name__} cannot be left out one by one")
