"""The proposal q of one dataset, raw: for those who want to see what was corrected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import ensure_compile_time_eval, vmap
from jaxtyping import Array, Float, PRNGKeyArray

from posterity.amortized.families.base import AbstractPosterior
from posterity.inference.draw import Network, symmetrised
from posterity.informed_posterior.informed import InformedNetwork
from posterity.informed_posterior.read.symmetry import symmetries
from posterity.model.dataset import Dataset
from posterity.model.model import Model
from posterity.runtime.compile import filter_jit
from posterity.runtime.precision import precision_of

__all__ = ["Proposal", "proposal_of"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """q(latents | D) of one dataset, without importance weights in its draws.

    Attributes:
        model: The model.
        draws: Latent site -> draws of q as they came, shape `(draw, *site_shape)`, active entries only.
        log_q: Log density of q at each, unconstrained, in nats.
        log_joint: Log joint at each, in nats.
        log_weights: Their normalised, Pareto-smoothed log importance weights.
        make_q: Computes `q` when it is asked for.
    """

    model: Model
    draws: Mapping[str, np.ndarray]
    log_q: Float[np.ndarray, " draw"]
    log_joint: Float[np.ndarray, " draw"]
    log_weights: Float[np.ndarray, " draw"]
    make_q: Callable[[], AbstractPosterior]

    def __repr__(self) -> str:
        ess = 1.0 / np.exp(2.0 * self.log_weights).sum()
        sites = ", ".join(f"{name} {np.shape(values)[1:]}" for name, values in self.draws.items())
        return f"Proposal of {self.model.name}: {self.log_q.size} draws of {sites}; ESS of their weights {ess:.0f}"

    @cached_property
    def q(self) -> AbstractPosterior:
        """The distribution over the flat unconstrained `z`."""
        with ensure_compile_time_eval():  # of numbers alone: a user's jit that asks for it must not trace into it
            return self.make_q()

    def sample(self, rng_key: PRNGKeyArray, num_samples: int) -> dict[str, Array]:
        """Latent site -> further draws in its support, shape `(num_samples, *site_shape)`, plates at capacity."""
        return vmap(self.model.space.constrain)(self.q.sample(rng_key, num_samples))

    def log_prob(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """Log density of one unconstrained `z` over its active coordinates, in nats."""
        return self.q.log_prob(z)


def proposal_of(network: Network, model: Model, dataset: Dataset) -> AbstractPosterior:
    """The distribution q of one padded dataset."""
    if isinstance(network, InformedNetwork):
        with precision_of(dataset.values):
            return network(jax.tree.map(jnp.asarray, dataset))
    return _trained(network, model, symmetries(model), dataset)


_trained = filter_jit(symmetrised)
